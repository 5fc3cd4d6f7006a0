"""Streams on every transport: order, half-close, back-pressure, early ends, both styles of reading and writing."""

import asyncio
import gc

import grpc
import pytest

from tests.kernel.inprocess.harness import eventually, handler, outcome_of, text


async def _count(request, _context):
    for number in range(int(request.value)):
        yield text(str(number))


async def _echo_all(requests, _context):
    async for request in requests:
        yield text(f"echo {request.value}")
    yield text("bye")


async def _join(requests, _context):
    return text(",".join([request.value async for request in requests]))


async def _numbers(count):
    for number in range(count):
        yield text(str(number))


async def test_a_generator_servicer(harness):
    served = await harness.serve({"Count": handler("unary_stream", _count)})

    outcome = await served.outcome("unary_stream", "Count", [text("500")])

    assert outcome.responses == [str(number) for number in range(500)]
    assert outcome.code is grpc.StatusCode.OK


async def test_no_responses(harness):
    served = await harness.serve({"Count": handler("unary_stream", _count)})

    outcome = await served.outcome("unary_stream", "Count", [text("0")])

    assert (outcome.responses, outcome.code) == ([], grpc.StatusCode.OK)


async def test_abort_after_partial_output(harness):
    async def fail(_request, context):
        yield text("1")
        yield text("2")
        await context.abort(grpc.StatusCode.ABORTED, "enough", (("k", "v"),))

    served = await harness.serve({"Fail": handler("unary_stream", fail)})

    outcome = await served.outcome("unary_stream", "Fail")

    assert outcome.responses == ["1", "2"]
    assert (outcome.code, outcome.details) == (grpc.StatusCode.ABORTED, "enough")
    assert outcome.trailing_metadata == {"k": ["v"]}


async def test_exception_after_partial_output(harness):
    async def fail(_request, _context):
        yield text("1")
        raise ValueError("a mistake")

    served = await harness.serve({"Fail": handler("unary_stream", fail)})

    outcome = await served.outcome("unary_stream", "Fail")

    assert outcome.responses == ["1"]
    assert (outcome.code, outcome.details) == (grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: a mistake")


async def test_what_is_unread_comes_before_the_status(harness):
    ended = []

    async def fail(_request, context):
        context.add_done_callback(ended.append)
        yield text("1")
        await context.abort(grpc.StatusCode.ABORTED, "enough")

    served = await harness.serve({"Fail": handler("unary_stream", fail)})
    call = served.call("unary_stream", "Fail")
    await eventually(lambda: bool(ended))
    await asyncio.sleep(0.02)

    assert not call.done()
    assert (await call.read()).value == "1"
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() is grpc.StatusCode.ABORTED


async def test_reading_past_the_end(harness):
    served = await harness.serve({"Count": handler("unary_stream", _count)})
    call = served.call("unary_stream", "Count", [text("1")])

    assert (await call.read()).value == "0"
    assert await call.read() is grpc.aio.EOF
    assert await call.read() is grpc.aio.EOF


async def test_iterating_twice(harness):
    served = await harness.serve({"Count": handler("unary_stream", _count)})
    call = served.call("unary_stream", "Count", [text("2")])

    assert [response.value async for response in call] == ["0", "1"]
    assert [response.value async for response in call] == []


async def test_styles_of_reading_do_not_mix(harness):
    served = await harness.serve({"Count": handler("unary_stream", _count)})
    call = served.call("unary_stream", "Count", [text("50")])

    await anext(aiter(call))

    with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
        await call.read()
    call.cancel()


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_styles_of_writing_do_not_mix(harness, kind):
    served = await harness.serve({"M": handler(kind, _join if kind == "stream_unary" else _echo_all)})
    call = served.call(kind, "M", _numbers(1))

    with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
        await call.write(text())
    with pytest.raises(grpc.aio.UsageError, match="may not be mixed"):
        await call.done_writing()
    await outcome_of(kind, call)


@pytest.mark.parametrize("requests", [lambda: _numbers(3), lambda: [text(n) for n in "012"], lambda: map(text, "012")])
async def test_every_kind_of_request_iterator(harness, requests):
    served = await harness.serve({"Join": handler("stream_unary", _join), "Echo": handler("stream_stream", _echo_all)})

    joined = await served.outcome("stream_unary", "Join", requests())
    echoed = await served.outcome("stream_stream", "Echo", requests())

    assert joined.responses == ["0,1,2"]
    assert echoed.responses == ["echo 0", "echo 1", "echo 2", "bye"]


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_a_request_iterator_that_raises_cancels_the_call(harness, kind):
    async def failing():
        yield text("1")
        raise ValueError("a mistake of the client")

    served = await harness.serve({"M": handler(kind, _join if kind == "stream_unary" else _echo_all)})

    outcome = await served.outcome(kind, "M", failing())

    assert (outcome.code, outcome.raised) == (grpc.StatusCode.CANCELLED, "CancelledError")
    assert outcome.details == "Locally cancelled by application!"


async def test_ping_pong_by_read_and_write(harness):
    async def echo(_requests, context):
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(text(f"pong {request.value}"))

    served = await harness.serve({"Echo": handler("stream_stream", echo)})
    call = served.stub("stream_stream", "Echo")()

    for number in range(5):
        await call.write(text(str(number)))
        assert (await call.read()).value == f"pong {number}"
    await call.done_writing()
    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_half_close_is_seen_by_the_servicer_only_after_the_last_request(harness):
    served = await harness.serve({"Join": handler("stream_unary", _join)})
    call = served.stub("stream_unary", "Join")()

    await call.write(text("a"))
    await asyncio.sleep(0.02)
    await call.write(text("b"))
    assert not call.done()
    await call.done_writing()

    assert (await call).value == "a,b"


async def test_reading_after_the_half_close(harness):
    read = []

    async def run(_requests, context):
        read.extend([await context.read() for _ in range(3)])
        return text()

    served = await harness.serve({"Run": handler("stream_unary", run)})

    await served.outcome("stream_unary", "Run", [text("1")])

    assert [read[0].value, *read[1:]] == ["1", grpc.aio.EOF, grpc.aio.EOF]


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_writing_after_done_writing(harness, kind):
    served = await harness.serve({"Wait": handler(kind, _wait_forever if kind == "stream_unary" else _yield_never)})
    call = served.stub(kind, "Wait")()

    await call.write(text())
    await call.done_writing()

    with pytest.raises(asyncio.InvalidStateError, match="half closed"):
        await call.write(text())
    call.cancel()


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_writing_after_the_end(harness, kind):
    async def one(_requests, _context):
        return text()

    async def none(_requests, context):
        pass

    served = await harness.serve({"End": handler(kind, one if kind == "stream_unary" else none)})
    call = served.stub(kind, "End")()
    await outcome_of(kind, call)

    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(text())
    await call.done_writing()


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
async def test_writing_after_cancellation(harness, kind):
    served = await harness.serve({"Wait": handler(kind, _wait_forever if kind == "stream_unary" else _yield_never)})
    call = served.stub(kind, "Wait")()

    call.cancel()

    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(text())
    await call.done_writing()


async def _wait_forever(_requests, _context):
    await asyncio.Event().wait()


async def _yield_never(_requests, _context):
    await asyncio.Event().wait()
    yield text()


async def test_the_server_may_finish_early(harness):
    sent = []

    async def endless():
        number = 0
        while True:
            sent.append(number)
            yield text(str(number))
            number += 1
            await asyncio.sleep(0.001)

    async def first(requests, _context):
        return text(f"first {(await anext(aiter(requests))).value}")

    served = await harness.serve({"First": handler("stream_unary", first)})

    outcome = await served.outcome("stream_unary", "First", endless())

    assert outcome.responses == ["first 0"]
    await asyncio.sleep(0.05)
    count = len(sent)
    await asyncio.sleep(0.05)
    assert len(sent) == count


async def test_the_server_may_abort_early(harness):
    async def refuse(_requests, context):
        await context.read()
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the first is enough")

    served = await harness.serve({"Refuse": handler("stream_unary", refuse)})
    call = served.stub("stream_unary", "Refuse")()
    await call.write(text())
    await eventually(call.done)

    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(text())
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


CHUNK = text("x" * 16 * 1024)


async def test_a_slow_reader_stops_the_writer(harness):
    written = []

    async def flood(_request, _context):
        for number in range(4 * 1024):
            written.append(number)
            yield CHUNK

    served = await harness.serve({"Flood": handler("unary_stream", flood)})
    call = served.call("unary_stream", "Flood")
    await call.read()
    await _until_it_stands_still(written)

    assert len(written) < 2 * 1024
    stood_at = len(written)
    for _ in range(1024):
        await call.read()
    await eventually(lambda: len(written) > stood_at)
    call.cancel()


async def test_a_slow_servicer_stops_the_client(harness):
    written = []
    release = asyncio.Event()

    async def count(requests, _context):
        await release.wait()
        return text(str(len([request async for request in requests])))

    async def flood():
        for number in range(2 * 1024):
            written.append(number)
            yield CHUNK

    served = await harness.serve({"Count": handler("stream_unary", count)})
    call = served.call("stream_unary", "Count", flood())
    await _until_it_stands_still(written)

    assert 0 < len(written) < 1024
    release.set()
    assert (await call).value == str(2 * 1024)


async def _until_it_stands_still(written):
    size = -1
    while size != len(written) or not written:
        size = len(written)
        await asyncio.sleep(0.2)


async def test_half_a_megabyte_may_be_written_before_any_of_it_is_read(harness):
    served = await harness.serve({"Echo": handler("stream_stream", _echo_all)})
    call = served.stub("stream_stream", "Echo")()

    for _ in range(32):
        await asyncio.wait_for(call.write(CHUNK), 20)
    await call.done_writing()

    assert len((await outcome_of("stream_stream", call)).responses) == 33


async def test_a_blocked_writer_is_released_by_cancellation(harness):
    events, written = [], []

    async def flood(_request, context):
        try:
            while True:
                await context.write(CHUNK)
                written.append(True)
        except BaseException as error:
            events.append(type(error))
            raise

    served = await harness.serve({"Flood": handler("unary_stream", flood)})
    call = served.call("unary_stream", "Flood")
    await call.read()
    await _until_it_stands_still(written)

    call.cancel()

    await eventually(lambda: bool(events))
    assert issubclass(events[0], asyncio.CancelledError | grpc.aio.InternalError)


async def test_a_generator_is_cleaned_up_when_the_client_cancels(harness):
    events = []

    async def flood(_request, _context):
        try:
            while True:
                yield CHUNK
                await asyncio.sleep(0)
        finally:
            events.append("cleaned up")

    served = await harness.serve({"Flood": handler("unary_stream", flood)})
    call = served.call("unary_stream", "Flood")
    await call.read()

    call.cancel()

    await eventually(lambda: events == ["cleaned up"])


async def test_a_generator_is_cleaned_up_at_the_deadline(harness):
    events = []

    async def hang(_request, _context):
        try:
            yield text("1")
            await asyncio.Event().wait()
        finally:
            events.append("cleaned up")

    served = await harness.serve({"Hang": handler("unary_stream", hang)})

    outcome = await served.outcome("unary_stream", "Hang", timeout=0.2)

    assert outcome.responses == ["1"]
    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: events == ["cleaned up"])


async def test_what_was_unread_at_the_deadline_is_lost(harness):
    async def hang(_request, _context):
        yield text("1")
        yield text("2")
        await asyncio.Event().wait()

    served = await harness.serve({"Hang": handler("unary_stream", hang)})
    call = served.call("unary_stream", "Hang", timeout=0.2)
    assert (await call.read()).value == "1"
    await eventually(call.done)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_the_client_s_generator_is_cleaned_up(harness):
    events = []

    async def endless():
        try:
            while True:
                yield text("x")
                await asyncio.sleep(0.001)
        finally:
            events.append("cleaned up")

    served = await harness.serve({"Wait": handler("stream_unary", _wait_forever)})
    call = served.call("stream_unary", "Wait", endless())
    await asyncio.sleep(0.02)

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: gc.collect() >= 0 and events == ["cleaned up"])


async def test_initial_metadata_is_there_before_the_first_message(harness):
    release = asyncio.Event()

    async def run(_request, context):
        await context.send_initial_metadata((("i", "1"),))
        await release.wait()
        yield text()

    served = await harness.serve({"Run": handler("unary_stream", run)})
    call = served.call("unary_stream", "Run")

    assert tuple(await call.initial_metadata()) == (("i", "1"),)
    await call.wait_for_connection()
    assert not call.done()
    release.set()
    assert (await outcome_of("unary_stream", call)).trailing_metadata == {}


async def test_waiting_for_the_connection(harness):
    served = await harness.serve({"Join": handler("stream_unary", _join), "Count": handler("unary_stream", _count)})
    stream = served.stub("stream_unary", "Join")()

    await stream.wait_for_connection()

    stream.cancel()
    missing = served.call("unary_stream", "Nope")
    with pytest.raises(grpc.aio.AioRpcError):
        await missing.wait_for_connection()


async def test_an_oversize_message_within_a_stream(harness):
    async def run(_request, _context):
        yield text("1")
        yield text("x" * (4 * 1024 * 1024))
        yield text("2")

    served = await harness.serve({"Run": handler("unary_stream", run), "Join": handler("stream_unary", _join)})

    received = await served.outcome("unary_stream", "Run")
    sent = await served.outcome("stream_unary", "Join", [text("1"), text("x" * (4 * 1024 * 1024))])

    assert received.responses == ["1"]
    assert received.code is sent.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_plain_functions_run_in_threads(harness):
    def unary(request, context):
        context.send_initial_metadata((("i", "1"),))
        context.set_trailing_metadata((("t", request.value),))
        return text(f"{request.value} {context.time_remaining() is not None}")

    def count(request, _context):
        for number in range(int(request.value)):
            yield text(str(number))

    def join(requests, _context):
        return text(",".join(request.value for request in requests))

    def echo(requests, _context):
        for request in requests:
            yield text(f"echo {request.value}")

    def refuse(_request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "gone", (("k", "v"),))

    def fail(_request, _context):
        raise ValueError("a mistake")

    served = await harness.serve(
        {
            "Unary": handler("unary_unary", unary),
            "Count": handler("unary_stream", count),
            "Join": handler("stream_unary", join),
            "Echo": handler("stream_stream", echo),
            "Refuse": handler("unary_unary", refuse),
            "Fail": handler("unary_unary", fail),
        }
    )

    outcome = await served.outcome("unary_unary", "Unary", [text("a")], timeout=10)
    assert (outcome.responses, outcome.initial_metadata) == (["a True"], {"i": ["1"]})
    assert outcome.trailing_metadata == {"t": ["a"]}
    assert (await served.outcome("unary_stream", "Count", [text("3")])).responses == ["0", "1", "2"]
    assert (await served.outcome("stream_unary", "Join", _numbers(3))).responses == ["0,1,2"]
    assert (await served.outcome("stream_stream", "Echo", _numbers(2))).responses == ["echo 0", "echo 1"]
    refused = await served.outcome("unary_unary", "Refuse")
    assert (refused.code, refused.details) == (grpc.StatusCode.NOT_FOUND, "gone")
    assert refused.trailing_metadata == {"k": ["v"]}
    failed = await served.outcome("unary_unary", "Fail")
    assert (failed.code, failed.details) == (grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: a mistake")


async def test_a_stub_of_another_kind_than_the_method(harness):
    async def echo(request, _context):
        return text(f"echo {request.value}")

    served = await harness.serve({"Echo": handler("unary_unary", echo), "Join": handler("stream_unary", _join)})

    assert (await served.outcome("stream_stream", "Echo", [text("a")])).responses == ["echo a"]
    assert (await served.outcome("unary_unary", "Join", [text("a")])).responses == ["a"]
