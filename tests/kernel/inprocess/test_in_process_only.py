"""What the in-process channel promises beyond, or differently from, one over a socket; docs/inprocess.md says why."""

import asyncio
import contextvars
import gc
import logging
import threading
import time

import grpc
import pytest

from aura.kernel.inprocess import InProcessServer
from tests.kernel.inprocess.harness import SERVICE, Served, eventually, handler, outcome_of, scripted, text
from tests.kernel.inprocess.test_interceptors import CLIENT

CALLER = contextvars.ContextVar("caller", default="nobody")


def _served(methods, **options):
    server = InProcessServer()
    server.add_registered_method_handlers(SERVICE, methods)
    return Served(server.channel(**options), server)


async def _who_calls(_requests, context, emit):
    assert "caller" not in dict(context.invocation_metadata())
    await emit(text(b",".join(context.auth_context()["caller"]).decode()))


def _caller():
    return {"caller": [CALLER.get().encode()]}


@pytest.mark.parametrize("intercepted", [False, True])
async def test_the_channel_says_who_calls(kind, intercepted):
    interceptors = [CLIENT[kind]("a", [])] if intercepted else []
    served = _served({"Who": scripted(kind, _who_calls)}, auth_context=_caller, interceptors=interceptors)

    CALLER.set("ada")
    first = served.call(kind, "Who")
    CALLER.set("bert")
    second = served.call(kind, "Who")

    assert (await outcome_of(kind, first)).responses == ["ada"]
    assert (await outcome_of(kind, second)).responses == ["bert"]


async def test_peers_are_numbered(in_process):
    async def run(_request, context):
        return text(context.peer())

    served = await in_process.serve({"Run": handler("unary_unary", run)})
    other = Served(served.server.channel(), served.server)

    peers = {(await each.call("unary_unary", "Run")).value for each in (served, other)}

    assert peers == {"inprocess:1", "inprocess:2"}


async def test_the_parent_s_deadline_is_the_child_s(in_process):
    seen = []

    async def child(_request, context):
        seen.append(context.time_remaining())
        return text()

    async def parent(_request, _context):
        await served.call("unary_unary", "Child")
        await served.call("unary_unary", "Child", timeout=60)
        await served.call("unary_unary", "Child", timeout=1)
        return text()

    served = await in_process.serve({"Child": handler("unary_unary", child), "Parent": handler("unary_unary", parent)})

    await served.call("unary_unary", "Parent", timeout=20)

    assert 10 < seen[1] <= seen[0] <= 20
    assert seen[2] <= 1


async def test_work_that_outlives_the_call_has_its_own_time(in_process):
    seen = asyncio.Queue()

    async def child(_request, context):
        seen.put_nowait(context.time_remaining())
        return text()

    async def later():
        await asyncio.sleep(0.2)
        await served.call("unary_unary", "Child")

    async def parent(_request, _context):
        background.append(asyncio.create_task(later()))
        return text()

    background = []
    served = await in_process.serve({"Child": handler("unary_unary", child), "Parent": handler("unary_unary", parent)})

    await served.call("unary_unary", "Parent", timeout=0.1)
    await background[0]

    assert await seen.get() is None


async def test_a_handler_that_ignores_cancellation_is_counted_logged_and_awaited(caplog):
    events = []

    async def ignore(_requests, _context, _emit):
        while "release" not in events:
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                events.append("ignored")
        events.append("ended")

    served = _served({"Ignore": scripted("unary_unary", ignore)})
    with caplog.at_level(logging.WARNING):
        outcome = await served.outcome("unary_unary", "Ignore", timeout=0.05)
        assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: served.server.overruns == 1)

    assert f"The handler of /{SERVICE}/Ignore still runs after its call is over" in caplog.text
    stopping = asyncio.create_task(served.server.stop(None))
    await asyncio.sleep(0.05)
    assert not stopping.done()
    events.append("release")
    await stopping
    assert events[-1] == "ended"


async def test_a_handler_that_heeds_its_cancellation_is_not_counted(in_process):
    async def hang(_requests, _context, _emit):
        await asyncio.Event().wait()

    served = await in_process.serve({"Hang": scripted("unary_unary", hang)})

    await served.outcome("unary_unary", "Hang", timeout=0.01)
    await asyncio.sleep(1.1)

    assert served.server.overruns == 0


async def test_a_cancelled_stream_is_never_taken_for_a_whole_one(in_process):
    """Over sockets a servicer that waits for a request may see the end of the stream instead."""
    events = []

    async def collect(requests, context):
        try:
            events.append(len([request async for request in requests]))
        except asyncio.CancelledError:
            events.append("cancelled")
            with pytest.raises(asyncio.CancelledError):
                await context.read()
            raise

    served = await in_process.serve({"Collect": handler("stream_unary", collect)})
    call = served.stub("stream_unary", "Collect")()
    await call.write(text())
    await asyncio.sleep(0.01)

    call.cancel()

    await eventually(lambda: bool(events))
    assert events == ["cancelled"]


async def test_what_is_written_after_the_server_s_end_does_not_change_it(in_process):
    """Over sockets such a write fails with INTERNAL, which replaces the status that the server sent."""

    async def early(_requests, context):
        await context.write(text("1"))
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    served = await in_process.serve({"Early": handler("stream_stream", early)})
    call = served.stub("stream_stream", "Early")()
    await asyncio.sleep(0.01)

    await call.write(text())
    outcome = await outcome_of("stream_stream", call)

    assert (outcome.responses, outcome.code) == (["1"], grpc.StatusCode.NOT_FOUND)


async def test_a_request_that_cannot_be_serialised(in_process, kind):
    """Over sockets an empty message is sent in its place."""
    served = await in_process.serve({"Echo": scripted(kind, _who_calls)})

    outcome = await served.outcome(kind, "Echo", [3])

    assert (outcome.code, outcome.details) == (grpc.StatusCode.INTERNAL, "Exception serializing request!")


async def test_a_response_that_cannot_be_parsed(in_process, kind):
    """Over sockets the caller gets None in its place."""

    async def run(_requests, _context, emit):
        await emit(text("x"))

    served = await in_process.serve({"Run": scripted(kind, run)})
    call = served.stub(kind, "Run", deserializer=lambda _: 1 / 0)(text() if kind.startswith("unary") else [text()])

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call.read() if kind.endswith("stream") else call)

    assert (raised.value.code(), raised.value.details()) == (
        grpc.StatusCode.INTERNAL,
        "Exception deserializing response!",
    )


async def test_a_handler_that_cancels_itself(in_process, kind):
    """Over sockets the caller waits for its deadline, or for ever."""

    async def cancel(_requests, _context, _emit):
        raise asyncio.CancelledError

    served = await in_process.serve({"Cancel": scripted(kind, cancel)})

    outcome = await served.outcome(kind, "Cancel")

    assert (outcome.code, outcome.raised) == (grpc.StatusCode.CANCELLED, "AioRpcError")


async def test_aborting_with_ok(in_process, kind):
    """Over sockets the caller waits for its deadline, or for ever."""

    async def abort(_requests, context, _emit):
        await context.abort(grpc.StatusCode.OK, "fine")

    served = await in_process.serve({"Abort": scripted(kind, abort)})

    assert (await served.outcome(kind, "Abort")).code is grpc.StatusCode.UNKNOWN


async def test_trailing_metadata_of_the_wrong_type(in_process, kind):
    """Over sockets the caller waits for its deadline, or for ever."""

    async def run(_requests, context, _emit):
        context.set_trailing_metadata((("k-bin", "text"),))

    served = await in_process.serve({"Run": scripted(kind, run)})

    assert (await served.outcome(kind, "Run")).code is grpc.StatusCode.INTERNAL


async def test_a_plain_generator_may_abort(in_process):
    """Over sockets the caller waits for its deadline, or for ever."""

    def run(_request, context):
        yield text("1")
        context.abort(grpc.StatusCode.ABORTED, "enough")

    served = await in_process.serve({"Run": handler("unary_stream", run)})

    outcome = await served.outcome("unary_stream", "Run")

    assert (outcome.responses, outcome.code) == (["1"], grpc.StatusCode.ABORTED)


async def test_a_plain_generator_is_closed_when_its_call_is_cancelled(in_process):
    closed = threading.Event()

    def run(_request, _context):
        try:
            while True:
                yield text("x" * 1024)
        finally:
            closed.set()

    served = await in_process.serve({"Run": handler("unary_stream", run)})
    call = served.call("unary_stream", "Run")
    await call.read()

    call.cancel()

    await eventually(closed.is_set)


async def test_a_stream_without_its_one_request(in_process):
    served = await in_process.serve({"Run": scripted("unary_unary", _who_calls)})

    outcome = await served.outcome("stream_unary", "Run", [])

    assert (outcome.code, outcome.details) == (grpc.StatusCode.INTERNAL, "Missing request message")


async def test_an_abandoned_stream_is_cancelled(in_process):
    events = []

    async def flood(_request, _context):
        try:
            while True:
                yield text("x" * 1024)
        finally:
            events.append("cleaned up")

    served = await in_process.serve({"Flood": handler("unary_stream", flood)})

    async for _ in served.call("unary_stream", "Flood"):
        break

    await eventually(lambda: gc.collect() >= 0 and bool(events))


async def test_a_unary_call_nobody_waits_for_is_carried_out(in_process):
    events = []

    async def run(_request, _context):
        await asyncio.sleep(0.01)
        events.append("ran")
        return text()

    served = await in_process.serve({"Run": handler("unary_unary", run)})

    served.call("unary_unary", "Run")

    gc.collect()
    await eventually(lambda: bool(events))


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_loop_of_calls_lets_others_run(in_process, kind):
    turns = []

    async def run(_requests, _context, emit):
        await emit(text())

    async def other():
        while True:
            turns.append(True)
            await asyncio.sleep(0)

    served = await in_process.serve({"Run": scripted(kind, run)})
    ticking = asyncio.create_task(other())

    for _ in range(500):
        await served.outcome(kind, "Run")

    ticking.cancel()
    assert len(turns) > 10


async def test_a_long_stream_lets_others_run(in_process):
    turns = []

    async def flood(_request, _context):
        for _ in range(1_000):
            yield text()

    async def other():
        while True:
            turns.append(True)
            await asyncio.sleep(0)

    served = await in_process.serve({"Flood": handler("unary_stream", flood)})
    ticking = asyncio.create_task(other())

    assert len((await served.outcome("unary_stream", "Flood")).responses) == 1_000

    ticking.cancel()
    assert len(turns) > 10


async def test_calls_within_calls_do_not_exhaust_the_stack(in_process):
    async def count_down(request, _context):
        depth = int(request.value)
        return await served.call("unary_unary", "CountDown", [text(str(depth - 1))]) if depth else text("landed")

    served = await in_process.serve({"CountDown": handler("unary_unary", count_down)})

    assert (await served.call("unary_unary", "CountDown", [text("400")])).value == "landed"


async def test_what_the_caller_is_handling_is_no_context_of_the_servicer_s_errors(in_process):
    errors = []

    async def fail(_request, _context):
        try:
            int("of the servicer")
        except ValueError as error:
            errors.append(error)
            raise

    served = await in_process.serve({"Fail": handler("unary_unary", fail)})
    try:
        {}["of the caller"]
    except KeyError:
        with pytest.raises(grpc.aio.AioRpcError):
            await served.call("unary_unary", "Fail")

    assert errors[0].__context__ is None


async def test_a_deadline_that_passes_while_the_loop_is_blocked(in_process, kind):
    async def block(_requests, _context, emit):
        time.sleep(0.1)  # noqa: ASYNC251
        await emit(text("late"))

    served = await in_process.serve({"Block": scripted(kind, block)})

    assert (await served.outcome(kind, "Block", timeout=0.05)).code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_handler_that_cancels_its_own_call_at_once(in_process):
    events = []

    async def run(_request, _context):
        calls[0].cancel()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    served = await in_process.serve({"Run": handler("unary_unary", run)})
    calls = [served.call("unary_unary", "Run")]

    with pytest.raises(asyncio.CancelledError):
        await calls[0]

    await eventually(lambda: events == ["cancelled"])


async def test_waiting_for_ready_does_not_wait_for_a_server_that_was_stopped(in_process):
    served = await in_process.serve({})
    await served.server.stop(None)

    outcome = await served.outcome("unary_unary", "Any", wait_for_ready=True)

    assert outcome.code is grpc.StatusCode.UNAVAILABLE


async def test_closing_wakes_those_who_wait_for_another_state(in_process):
    served = await in_process.serve({})
    waiting = asyncio.create_task(served.channel.wait_for_state_change(grpc.ChannelConnectivity.IDLE))
    await asyncio.sleep(0)

    await served.channel.close()

    await asyncio.wait_for(waiting, 10)


async def test_a_failing_done_callback_harms_nobody(in_process, caplog):
    async def run(_request, context):
        context.add_done_callback(lambda _: 1 / 0)
        return text("ran")

    served = await in_process.serve({"Run": handler("unary_unary", run)})
    call = served.call("unary_unary", "Run")
    call.add_done_callback(lambda _: 1 / 0)

    assert (await call).value == "ran"
    assert caplog.text.count("ZeroDivisionError") == 2


async def test_it_has_no_port():
    server = InProcessServer()

    with pytest.raises(grpc.aio.UsageError, match="no port"):
        server.add_insecure_port("[::]:0")
    with pytest.raises(grpc.aio.UsageError, match="no port"):
        server.add_secure_port("[::]:0", grpc.local_server_credentials())


def test_it_serves_one_event_loop():
    async def run(_request, _context):
        return text()

    served = _served({"Run": handler("unary_unary", run)})

    async def call():
        await served.call("unary_unary", "Run")

    asyncio.run(call())
    with pytest.raises(RuntimeError, match="one event loop"):
        asyncio.run(call())


async def test_the_message_limit_is_a_parameter():
    async def echo(request, _context):
        return request

    server = InProcessServer(maximum_message_bytes=100)
    server.add_registered_method_handlers(SERVICE, {"Echo": handler("unary_unary", echo)})
    served = Served(server.channel(), server)

    assert (await served.outcome("unary_unary", "Echo", [text("x" * 98)])).code is grpc.StatusCode.OK
    assert (await served.outcome("unary_unary", "Echo", [text("x" * 99)])).code is grpc.StatusCode.RESOURCE_EXHAUSTED
