"""Channels and servers that open, close and stop, on every transport."""

import asyncio

import grpc
import pytest

from tests.kernel.inprocess.harness import eventually, handler, outcome_of, scripted, text

READY = grpc.ChannelConnectivity.READY
IDLE = grpc.ChannelConnectivity.IDLE


class Sleeper:
    """Handlers that wait to be released."""

    def __init__(self):
        self.started = 0
        self.cancelled = 0
        self.release = asyncio.Event()

    async def __call__(self, _requests, _context, emit):
        self.started += 1
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await emit(text("released"))


async def test_a_channel_is_a_grpc_aio_channel(harness):
    served = await harness.serve({})

    assert isinstance(served.channel, grpc.aio.Channel)
    assert isinstance(served.server, grpc.aio.Server)


async def test_a_new_channel_is_idle_until_asked_to_connect(harness):
    served = await harness.serve({})

    assert served.channel.get_state() is IDLE
    assert served.channel.get_state(try_to_connect=True) is IDLE

    await served.channel.channel_ready()
    assert served.channel.get_state() is READY
    await served.channel.wait_for_state_change(IDLE)


async def test_a_call_connects_the_channel(harness, kind):
    served = await harness.serve({"Sleep": scripted(kind, Sleeper())})

    call = served.call(kind, "Sleep")

    await served.channel.wait_for_state_change(IDLE)
    await eventually(lambda: served.channel.get_state() is READY)
    call.cancel()


async def test_closing_cancels_calls(harness, kind):
    sleeper = Sleeper()
    served = await harness.serve({"Sleep": scripted(kind, sleeper)})
    call = served.call(kind, "Sleep")
    await eventually(lambda: sleeper.started)

    await served.channel.close()
    outcome = await outcome_of(kind, call)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
    await eventually(lambda: sleeper.cancelled)
    assert served.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_closing_with_grace_lets_calls_finish(harness, kind):
    sleeper = Sleeper()
    served = await harness.serve({"Sleep": scripted(kind, sleeper)})
    call = served.call(kind, "Sleep")
    ending = asyncio.create_task(outcome_of(kind, call))
    await eventually(lambda: sleeper.started)

    closing = asyncio.create_task(served.channel.close(20))
    await asyncio.sleep(0.02)
    with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
        served.call(kind, "Sleep")
    sleeper.release.set()
    await closing

    assert (await ending).responses == ["released"]


async def test_closing_with_grace_cancels_what_takes_longer(harness, kind):
    sleeper = Sleeper()
    served = await harness.serve({"Sleep": scripted(kind, sleeper)})
    call = served.call(kind, "Sleep")
    await eventually(lambda: sleeper.started)

    await served.channel.close(0.05)

    assert (await outcome_of(kind, call)).code is grpc.StatusCode.CANCELLED


async def test_a_closed_channel_makes_no_calls(harness, kind):
    served = await harness.serve({})
    await served.channel.close()
    await served.channel.close()

    with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
        served.call(kind, "Any")
    with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
        await served.channel.channel_ready()
    with pytest.raises(grpc.aio.UsageError, match="Channel is closed"):
        await served.channel.wait_for_state_change(READY)


async def test_leaving_the_channel_s_context_closes_it(harness):
    served = await harness.serve({})

    async with served.channel as channel:
        assert channel is served.channel

    assert served.channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN


async def test_grace_is_not_negative(harness):
    served = await harness.serve({})

    with pytest.raises(ValueError, match="non-negative"):
        await served.channel.close(-1)


async def test_handlers_may_be_added_after_the_channel_was_made(harness):
    served = await harness.serve({})

    async def late(_request, _context):
        return text("late")

    served.server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("aura.test.v1.Late", {"Late": handler("unary_unary", late)}),)
    )

    assert (await served.stub("unary_unary", "Late", service="aura.test.v1.Late")(text())).value == "late"


async def test_registered_handlers_come_before_generic_ones(harness):
    async def registered(_request, _context):
        return text("registered")

    served = await harness.serve({"Run": handler("unary_unary", registered)})

    async def generic(_request, _context):
        return text("generic")

    served.server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("aura.test.v1.TestService", {"Run": handler("unary_unary", generic)}),)
    )

    assert (await served.call("unary_unary", "Run")).value == "registered"


async def test_a_stopped_server_is_unavailable(harness, kind):
    served = await harness.serve({"Sleep": scripted(kind, Sleeper())})

    await served.server.stop(None)
    outcome = await served.outcome(kind, "Sleep", timeout=20)

    assert outcome.code is grpc.StatusCode.UNAVAILABLE
    assert outcome.details.startswith("failed to connect to all addresses")
    assert served.channel.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE


async def test_stopping_with_grace(harness, kind):
    sleeper = Sleeper()
    served = await harness.serve({"Sleep": scripted(kind, sleeper)})
    call = served.call(kind, "Sleep")
    ending = asyncio.create_task(outcome_of(kind, call))
    await eventually(lambda: sleeper.started)

    stopping = asyncio.create_task(served.server.stop(20))
    await eventually(lambda: served.channel.get_state() is not grpc.ChannelConnectivity.READY)
    refused = await served.outcome(kind, "Sleep", timeout=20)
    sleeper.release.set()
    await stopping

    assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert (await ending).responses == ["released"]
    assert not sleeper.cancelled


@pytest.mark.parametrize("grace", [None, 0.05])
async def test_stopping_cancels_what_takes_longer(harness, kind, grace):
    sleeper = Sleeper()
    served = await harness.serve({"Sleep": scripted(kind, sleeper)})
    call = served.call(kind, "Sleep")
    ending = asyncio.create_task(outcome_of(kind, call))
    await eventually(lambda: sleeper.started)

    await served.server.stop(grace)
    outcome = await ending

    assert (outcome.code, outcome.details) == (grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")
    await eventually(lambda: sleeper.cancelled)


async def test_stopping_sooner_than_said_before(harness):
    sleeper = Sleeper()
    served = await harness.serve({"Sleep": scripted("unary_unary", sleeper)})
    ending = asyncio.create_task(served.outcome("unary_unary", "Sleep"))
    await eventually(lambda: sleeper.started)

    patient = asyncio.create_task(served.server.stop(60))
    await asyncio.sleep(0.02)
    await served.server.stop(None)
    await asyncio.wait_for(patient, 20)

    assert (await ending).code is grpc.StatusCode.UNAVAILABLE


async def test_waiting_for_the_server_to_stop(harness):
    served = await harness.serve({})

    assert await served.server.wait_for_termination(0.01)
    await served.server.start()
    await served.server.stop(None)
    await served.server.stop(None)
    assert not await served.server.wait_for_termination(0.01)
    assert not await served.server.wait_for_termination()
    with pytest.raises(grpc.aio.UsageError, match="not in ready state"):
        await served.server.start()
