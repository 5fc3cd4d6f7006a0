"""The ten points of docs/inprocess.md, each as a test of that name; the other files go into the details."""

import asyncio
import contextvars

import grpc
import pytest

from tests.kernel.inprocess.harness import SILENT, eventually, handler, outcome_of, scripted, text
from tests.kernel.inprocess.test_interceptors import CLIENT, Recording


async def test_1_messages_are_serialised_and_parsed(harness):
    kept = []

    async def change(request, _context):
        kept.append(request)
        request.value = "changed by the servicer"
        return request

    served = await harness.serve({"Change": handler("unary_unary", change)})
    request = text("request")

    response = await served.call("unary_unary", "Change", [request])
    response.value = "changed by the caller"

    assert request.value == "request"
    assert kept[0].value == "changed by the servicer"


async def test_2_metadata_is_the_only_carrier(harness):
    variable = contextvars.ContextVar("variable")

    async def run(_requests, context, emit):
        carried = dict(context.invocation_metadata())["k"]
        await emit(text(f"{variable.get('nothing')} {carried}"))
        variable.set("by the servicer")

    served = await harness.serve({"Run": scripted("unary_unary", run)})
    variable.set("by the caller")

    outcome = await served.outcome("unary_unary", "Run", metadata=(("k", "v"),))

    assert outcome.responses == ["nothing v"]
    assert variable.get() == "by the caller"


async def test_3_a_call_starts_when_it_is_made(harness, kind):
    tasks = []

    async def run(_requests, _context, _emit):
        tasks.append(asyncio.current_task())

    served = await harness.serve({"Run": scripted(kind, run)})

    call = served.call(kind, "Run")

    await eventually(lambda: bool(tasks))
    assert tasks[0] is not asyncio.current_task()
    await outcome_of(kind, call)


async def test_4_the_deadline_is_kept_even_if_the_handler_ignores_it(harness, kind):
    release = asyncio.Event()
    ended = []

    async def ignore(_requests, context, _emit):
        context.add_done_callback(ended.append)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    served = await harness.serve({"Ignore": scripted(kind, ignore)})

    outcome = await asyncio.wait_for(served.outcome(kind, "Ignore", timeout=0.1), 10)

    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not ended
    release.set()
    await eventually(lambda: bool(ended))


async def test_4_a_child_call_gets_no_more_time_than_its_parent(harness):
    child_ended = []

    async def child(_requests, _context, _emit):
        try:
            await asyncio.Event().wait()
        finally:
            child_ended.append(True)

    async def parent(_requests, _context, _emit):
        await served.call("unary_unary", "Child", timeout=60)

    served = await harness.serve({"Child": scripted("unary_unary", child), "Parent": scripted("unary_unary", parent)})

    outcome = await served.outcome("unary_unary", "Parent", timeout=0.2)

    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: bool(child_ended))


async def test_5_cancelling_the_caller_cancels_the_handler_and_closes_its_generators(harness):
    events = []

    async def numbers():
        try:
            while True:
                yield 1
                await asyncio.sleep(0.001)
        finally:
            events.append("inner")

    async def stream(_request, _context):
        try:
            async for number in numbers():
                yield text(str(number))
        finally:
            events.append("outer")

    served = await harness.serve({"Stream": handler("unary_stream", stream)})

    async def read():
        call = served.call("unary_stream", "Stream")
        while await call.read() is not grpc.aio.EOF:
            events.append("read")

    caller = asyncio.create_task(read())
    await eventually(lambda: "read" in events)
    caller.cancel()

    await eventually(lambda: {"inner", "outer"} <= set(events))
    assert caller.cancelled()


async def test_6_any_exception_becomes_a_status(harness, kind):
    class Mistake(Exception):
        pass

    async def fail(_requests, _context, _emit):
        raise Mistake("of the servicer")

    served = await harness.serve({"Fail": scripted(kind, fail)})
    call = served.call(kind, "Fail")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call.read() if kind.endswith("stream") else call)

    assert raised.value.code() is grpc.StatusCode.UNKNOWN
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


async def test_7_abort_after_partial_output_and_unknown_methods_and_limits(harness):
    async def fail(_request, context):
        yield text("partial")
        await context.abort(grpc.StatusCode.ABORTED, "enough", (("k-bin", b"\xff"),))

    async def large(_request, _context):
        return text("x" * (4 * 1024 * 1024))

    served = await harness.serve({"Fail": handler("unary_stream", fail), "Large": handler("unary_unary", large)})

    failed = await served.outcome("unary_stream", "Fail")
    unknown = await served.outcome("unary_stream", "Nope", SILENT)
    exhausted = await served.outcome("unary_unary", "Large")

    assert (failed.responses, failed.code) == (["partial"], grpc.StatusCode.ABORTED)
    assert failed.trailing_metadata == {"k-bin": [b"\xff"]}
    assert unknown.code is grpc.StatusCode.UNIMPLEMENTED
    assert exhausted.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_8_streams_have_back_pressure_half_close_and_early_ends(harness):
    written = []

    async def flood(requests, _context):
        async for _ in requests:
            pass
        for number in range(2 * 1024):
            written.append(number)
            yield text("x" * 16 * 1024)

    served = await harness.serve({"Flood": handler("stream_stream", flood)})
    call = served.stub("stream_stream", "Flood")()
    await call.write(text())
    await asyncio.sleep(0.05)
    assert not written
    await call.done_writing()
    await call.read()
    await asyncio.sleep(0.3)

    assert len(written) < 2 * 1024
    call.cancel()
    with pytest.raises(asyncio.InvalidStateError):
        await call.write(text())


async def test_9_interceptors_run_in_the_order_of_the_network(harness, kind):
    events = []

    async def run(_requests, _context, _emit):
        events.append("handler")

    served = await harness.serve(
        {"Run": scripted(kind, run)},
        interceptors=[Recording("third", events), Recording("fourth", events)],
        client_interceptors=[CLIENT[kind]("first", events), CLIENT[kind]("second", events)],
    )

    await served.outcome(kind, "Run")

    names = [event if isinstance(event, str) else event[0] for event in events if "made" not in event]
    assert names == [
        *("first", "second", "third Run", "fourth Run"),
        *("fourth found", "third found", "handler"),
    ]


@pytest.mark.parametrize("first", ["handler", "deadline", "cancel"])
async def test_10_one_terminal_status_whichever_comes_first(harness, kind, first):
    ended = []

    async def run(_requests, _context, _emit):
        if first != "handler":
            await asyncio.sleep(5)

    served = await harness.serve({"Run": scripted(kind, run)})
    call = served.call(kind, "Run", timeout=0.1 if first == "deadline" else 20)
    call.add_done_callback(lambda _: ended.append(True))
    if first == "cancel":
        asyncio.get_running_loop().call_later(0.05, call.cancel)

    outcome = await outcome_of(kind, call)
    call.cancel()
    await asyncio.sleep(0.02)

    expected = {"handler": "OK", "deadline": "DEADLINE_EXCEEDED", "cancel": "CANCELLED"}
    assert outcome.code is grpc.StatusCode[expected[first]] is await call.code()
    assert ended == [True]
