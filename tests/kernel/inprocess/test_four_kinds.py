"""What holds for all four kinds of call, on every transport."""

import asyncio
import contextvars
import logging

import grpc
import pytest

from tests.kernel.inprocess.harness import SERVICE, SILENT, eventually, outcome_of, scripted, text


async def _echo(requests, _context, emit):
    async for request in requests:
        await emit(text(f"echo {request.value}"))


async def _sleep(requests, _context, _emit):
    async for _ in requests:
        pass
    await asyncio.sleep(30)


async def test_succeeds(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})

    outcome = await served.outcome(kind, "Echo", [text("a")])

    assert outcome.responses == ["echo a"]
    assert (outcome.code, outcome.details, outcome.raised) == (grpc.StatusCode.OK, "", None)


async def test_fails_with_details_and_trailing_metadata(harness, kind):
    async def fail(_requests, context, _emit):
        await context.abort(
            grpc.StatusCode.NOT_FOUND, "no such user ☺ 100%\n", (("reason", "GONE"), ("data-bin", b"\0"))
        )

    served = await harness.serve({"Fail": scripted(kind, fail)})

    outcome = await served.outcome(kind, "Fail")

    assert (outcome.code, outcome.details) == (grpc.StatusCode.NOT_FOUND, "no such user ☺ 100%\n")
    assert outcome.trailing_metadata == {"reason": ["GONE"], "data-bin": [b"\0"]}
    assert outcome.raised == "AioRpcError"


@pytest.mark.parametrize("code", [5, grpc.StatusCode.NOT_FOUND])
async def test_abort_takes_a_number_too(harness, kind, code):
    async def fail(_requests, context, _emit):
        await context.abort(code, "x")

    served = await harness.serve({"Fail": scripted(kind, fail)})

    assert (await served.outcome(kind, "Fail")).code is grpc.StatusCode.NOT_FOUND


async def test_numbers_that_are_no_codes_become_unknown(harness, kind):
    """Among them that of UNAUTHENTICATED, which is the last: so grpc.aio has it."""

    async def fail(requests, context, _emit):
        await context.abort(int((await anext(requests)).value), "x")

    served = await harness.serve({"Fail": scripted(kind, fail)})

    for number in ("-1", "16", "17", "99"):
        assert (await served.outcome(kind, "Fail", [text(number)])).code is grpc.StatusCode.UNKNOWN


async def test_abort_with_status(harness, kind):
    class Status(grpc.Status):
        code = grpc.StatusCode.ABORTED
        details = "again"
        trailing_metadata = (("k", "v"),)

    async def fail(_requests, context, _emit):
        await context.abort_with_status(Status())

    served = await harness.serve({"Fail": scripted(kind, fail)})

    outcome = await served.outcome(kind, "Fail")

    assert (outcome.code, outcome.details) == (grpc.StatusCode.ABORTED, "again")
    assert outcome.trailing_metadata == {"k": ["v"]}


async def test_status_without_abort(harness, kind):
    async def fail(_requests, context, emit):
        await emit(text("partial"))
        context.set_code(grpc.StatusCode.DATA_LOSS)
        context.set_details("lost")
        context.set_trailing_metadata((("k", "v"), ("k", "w")))

    served = await harness.serve({"Fail": scripted(kind, fail)})

    outcome = await served.outcome(kind, "Fail")

    assert (outcome.code, outcome.details) == (grpc.StatusCode.DATA_LOSS, "lost")
    assert outcome.trailing_metadata == {"k": ["v", "w"]}
    assert outcome.responses == (["partial"] if kind.endswith("stream") else [])


async def test_ok_has_no_details(harness, kind):
    async def run(_requests, context, _emit):
        context.set_code(grpc.StatusCode.OK)
        context.set_details("all is well")

    served = await harness.serve({"Run": scripted(kind, run)})

    assert (await served.outcome(kind, "Run")).details == ""


async def test_an_exception_becomes_unknown(harness, kind, caplog):
    async def fail(_requests, _context, _emit):
        raise ValueError("a mistake")

    served = await harness.serve({"Fail": scripted(kind, fail)})

    with caplog.at_level(logging.CRITICAL):
        outcome = await served.outcome(kind, "Fail")

    assert outcome.code is grpc.StatusCode.UNKNOWN
    assert outcome.details == "Unexpected <class 'ValueError'>: a mistake"


async def test_an_exception_keeps_the_code_that_was_set(harness, kind):
    async def fail(_requests, context, _emit):
        context.set_code(grpc.StatusCode.NOT_FOUND)
        context.set_trailing_metadata((("k", "v"),))
        raise ValueError("a mistake")

    served = await harness.serve({"Fail": scripted(kind, fail)})

    outcome = await served.outcome(kind, "Fail")

    assert outcome.code is grpc.StatusCode.NOT_FOUND
    assert outcome.details == "Unexpected <class 'ValueError'>: a mistake"
    assert outcome.trailing_metadata == {"k": ["v"]}


async def test_a_suppressed_abort_still_ends_the_call(harness, kind):
    async def fail(_requests, context, emit):
        with pytest.raises(grpc.aio.AbortError):
            await context.abort(grpc.StatusCode.ABORTED, "first")
        if kind.endswith("stream"):
            with pytest.raises(grpc.aio.AbortError):
                await context.write(text("too late"))
        with pytest.raises(grpc.aio.UsageError):
            await context.abort(grpc.StatusCode.NOT_FOUND, "second")
        await emit(text("too late"))

    served = await harness.serve({"Fail": scripted(kind, fail)})

    outcome = await served.outcome(kind, "Fail")

    assert (outcome.code, outcome.details, outcome.responses) == (grpc.StatusCode.ABORTED, "first", [])


async def test_times_out(harness, kind):
    served = await harness.serve({"Sleep": scripted(kind, _sleep)})

    call = served.call(kind, "Sleep", timeout=0.2)
    assert 0 < call.time_remaining() <= 0.2
    outcome = await outcome_of(kind, call)

    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "Deadline Exceeded" in outcome.details
    assert outcome.raised == "AioRpcError"
    assert call.time_remaining() == 0
    assert not call.cancelled()


async def test_times_out_when_the_deadline_has_passed(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})

    outcome = await served.outcome(kind, "Echo", timeout=-1)

    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_cancelled_before_it_started(harness, kind):
    started = []

    async def start(_requests, _context, _emit):
        started.append(True)

    served = await harness.serve({"Start": scripted(kind, start)})
    await served.channel.channel_ready()

    call = served.call(kind, "Start")
    assert call.cancel()
    outcome = await outcome_of(kind, call)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
    assert outcome.raised == "CancelledError"
    assert call.cancelled()
    assert call.done()
    assert not call.cancel()
    await asyncio.sleep(0.02)
    assert not started


async def test_cancelled_while_it_runs(harness, kind):
    events = []

    async def run(requests, _context, _emit):
        async for _ in requests:
            pass
        events.append("started")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    served = await harness.serve({"Run": scripted(kind, run)})
    call = served.call(kind, "Run")
    call.add_done_callback(lambda done: events.append(("done", done is call)))
    await eventually(lambda: "started" in events)

    assert call.cancel()
    outcome = await outcome_of(kind, call)

    assert (outcome.code, outcome.raised) == (grpc.StatusCode.CANCELLED, "CancelledError")
    await eventually(lambda: "cancelled" in events)
    assert events == ["started", ("done", True), "cancelled"]


async def test_cancelled_with_the_task_that_waits_for_it(harness, kind):
    events = []

    async def run(_requests, _context, _emit):
        events.append("started")
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    served = await harness.serve({"Run": scripted(kind, run)})
    call = served.call(kind, "Run")

    async def wait():
        if kind.endswith("stream"):
            await call.read()
        else:
            await call

    waiting = asyncio.create_task(wait())
    await eventually(lambda: "started" in events)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert call.cancelled()
    await eventually(lambda: "cancelled" in events)


async def test_cancelling_after_the_end_changes_nothing(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})
    call = served.call(kind, "Echo")
    await outcome_of(kind, call)

    assert not call.cancel()

    assert not call.cancelled()
    assert await call.code() is grpc.StatusCode.OK


async def test_a_handler_that_ignores_cancellation_outlives_its_call(harness, kind):
    events = []

    async def run(_requests, _context, _emit):
        while "release" not in events:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                events.append("ignored")
        events.append("ended")

    served = await harness.serve({"Run": scripted(kind, run)})

    outcome = await served.outcome(kind, "Run", timeout=0.1)

    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
    await eventually(lambda: "ignored" in events)
    events.append("release")
    await eventually(lambda: "ended" in events)


async def test_a_call_starts_when_it_is_made(harness, kind):
    events = []

    async def run(_requests, _context, _emit):
        events.append("started")

    served = await harness.serve({"Run": scripted(kind, run)})
    await served.channel.channel_ready()

    call = served.call(kind, "Run")
    assert not events

    await eventually(lambda: bool(events))
    await outcome_of(kind, call)


async def test_the_handler_runs_in_one_task_of_its_own(harness, kind):
    tasks = []

    async def run(requests, _context, emit):
        tasks.append(asyncio.current_task())
        async for _ in requests:
            pass
        await asyncio.sleep(0)
        await emit(text())
        tasks.append(asyncio.current_task())

    served = await harness.serve({"Run": scripted(kind, run)})

    await served.outcome(kind, "Run")

    assert tasks[0] is tasks[1]
    assert tasks[0] not in (None, asyncio.current_task())


async def test_no_context_variable_crosses(harness, kind):
    variable = contextvars.ContextVar("variable", default="untouched")
    seen = []

    async def run(_requests, _context, _emit):
        seen.append(variable.get())
        variable.set("by the servicer")

    served = await harness.serve({"Run": scripted(kind, run)})
    variable.set("by the caller")

    await served.outcome(kind, "Run")

    assert seen == ["untouched"]
    assert variable.get() == "by the caller"


async def test_messages_are_copies(harness, kind):
    received = []
    answer = text("answer")

    async def run(requests, _context, emit):
        async for request in requests:
            received.append(request)
            request.value += " changed by the servicer"
        await emit(answer)
        if kind.endswith("stream"):
            answer.value = "changed by the servicer"
        else:
            asyncio.get_running_loop().call_soon(setattr, answer, "value", "changed by the servicer")

    served = await harness.serve({"Run": scripted(kind, run)})
    request = text("request")

    outcome = await served.outcome(kind, "Run", [request])

    assert request.value == "request"
    assert received[0] is not request
    assert outcome.responses == ["answer"]


async def test_metadata_travels_both_ways(harness, kind):
    received = []

    async def run(_requests, context, emit):
        received.append(context.invocation_metadata())
        await context.send_initial_metadata((("i", "1"), ("i", "2"), ("i-bin", b"\x00\xff")))
        context.set_trailing_metadata((("t", "3"), ("t-bin", b"\xfe")))
        await emit(text())

    served = await harness.serve({"Run": scripted(kind, run)})

    outcome = await served.outcome(kind, "Run", metadata=(("k", "v"), ("k", "w"), ("k-bin", b"\x01"), ("empty", "")))

    pairs = [(datum.key, datum.value) for datum in received[0] if datum.key != "user-agent"]
    assert sorted(pairs, key=str) == sorted([("k", "v"), ("k", "w"), ("k-bin", b"\x01"), ("empty", "")], key=str)
    assert outcome.initial_metadata == {"i": ["1", "2"], "i-bin": [b"\x00\xff"]}
    assert outcome.trailing_metadata == {"t": ["3"], "t-bin": [b"\xfe"]}


async def test_initial_metadata_goes_once_and_before_messages(harness, kind):
    errors = []

    async def run(_requests, context, emit):
        await context.send_initial_metadata((("i", "1"),))
        await emit(text())
        try:
            await context.send_initial_metadata((("i", "2"),))
        except grpc.aio.UsageError as error:
            errors.append(str(error))

    served = await harness.serve({"Run": scripted(kind, run)})

    outcome = await served.outcome(kind, "Run")

    assert errors == ["Send initial metadata failed: already sent"]
    assert outcome.initial_metadata == {"i": ["1"]}


@pytest.mark.parametrize(
    "metadatum", [("UPPER", "x"), ("k", "☺"), ("k", "a\nb"), ("sp ace", "x"), ("", "x"), (":path", "x")]
)
async def test_invalid_metadata_from_the_servicer(harness, kind, metadatum):
    async def trailing(_requests, context, _emit):
        context.set_trailing_metadata((metadatum,))

    async def initial(_requests, context, _emit):
        await context.send_initial_metadata((metadatum,))

    served = await harness.serve({"Trailing": scripted(kind, trailing), "Initial": scripted(kind, initial)})

    for method in ("Trailing", "Initial"):
        outcome = await served.outcome(kind, method, timeout=5)
        assert (outcome.code, outcome.details) == (grpc.StatusCode.INTERNAL, "Invalid metadata")


@pytest.mark.parametrize("metadatum", [("UPPER", "x"), ("k", "☺"), ("k", "a\nb"), ("sp ace", "x")])
async def test_invalid_metadata_from_the_client(harness, kind, metadatum):
    started = []

    async def run(_requests, _context, _emit):
        started.append(True)

    served = await harness.serve({"Run": scripted(kind, run)})

    call = served.call(kind, "Run", metadata=(metadatum,))

    with pytest.raises((grpc.aio.AioRpcError, grpc.aio.InternalError)):  # the latter only for unary_unary over sockets
        await (call.read() if kind.endswith("stream") else call)
    assert not started


async def test_a_str_is_no_value_for_a_binary_key(harness):
    served = await harness.serve({"Run": scripted("unary_unary", _echo)})

    with pytest.raises(TypeError, match="expected bytes"):
        await served.call("unary_unary", "Run", metadata=(("k-bin", "text"),))


async def test_bytes_of_a_text_key_arrive_as_text(harness, kind):
    received = []

    async def run(_requests, context, _emit):
        received.append(dict(context.invocation_metadata())["k"])
        context.set_trailing_metadata((("t", b"bytes"),))

    served = await harness.serve({"Run": scripted(kind, run)})

    outcome = await served.outcome(kind, "Run", metadata=(("k", b"bytes"),))

    assert received == ["bytes"]
    assert outcome.trailing_metadata == {"t": ["bytes"]}


async def test_the_user_agent_is_the_transport_s(harness, kind):
    received = []

    async def run(_requests, context, _emit):
        received.append(dict(context.invocation_metadata())["user-agent"])

    served = await harness.serve({"Run": scripted(kind, run)})

    await served.outcome(kind, "Run", metadata=(("user-agent", "mine"),))

    assert received[0].startswith(f"grpc-python-asyncio/{grpc.__version__}")


@pytest.mark.parametrize("trailing", [[["a", "b"]], {"a": "b"}, None, (("k", 1),)])
async def test_trailing_metadata_of_the_wrong_type_is_refused(harness, trailing):
    errors = []

    async def run(_requests, context, _emit):
        try:
            context.set_trailing_metadata(trailing)
        except TypeError as error:
            errors.append(error)

    served = await harness.serve({"Run": scripted("unary_unary", run)})

    assert (await served.outcome("unary_unary", "Run")).code is grpc.StatusCode.OK
    assert errors


async def test_the_context_s_view_of_a_call(harness, kind):
    seen = {}

    async def run(_requests, context, _emit):
        seen.update(
            code=context.code(),
            details=context.details(),
            trailing=context.trailing_metadata(),
            done=context.done(),
            cancelled=context.cancelled(),
            time_remaining=context.time_remaining(),
            peer=context.peer(),
            auth_context=context.auth_context(),
            identities=(context.peer_identities(), context.peer_identity_key()),
        )
        context.set_code(grpc.StatusCode.ABORTED)
        context.set_details("why")
        context.set_trailing_metadata((("k", "v"),))
        seen["then"] = (context.code(), context.details(), context.trailing_metadata())
        context.set_compression(grpc.Compression.Gzip)
        context.disable_next_message_compression()

    served = await harness.serve({"Run": scripted(kind, run)})

    await served.outcome(kind, "Run")

    assert (seen["code"], seen["details"], tuple(seen["trailing"])) == (None, "", ())
    assert (seen["done"], seen["cancelled"], seen["time_remaining"]) == (False, False, None)
    assert seen["peer"].split(":")[0] == {"tcp": "ipv4", "unix": "unix", "in_process": "inprocess"}[harness.transport]
    assert isinstance(dict(seen["auth_context"]), dict)
    assert seen["identities"] == (None, None)
    assert seen["then"] == (grpc.StatusCode.ABORTED, "why", (("k", "v"),))


async def test_the_servicer_sees_the_deadline(harness, kind):
    seen = []

    async def run(_requests, context, _emit):
        seen.append(context.time_remaining())

    served = await harness.serve({"Run": scripted(kind, run)})

    await served.outcome(kind, "Run", timeout=20)

    assert 10 < seen[0] < 21


async def test_done_callbacks_of_the_context(harness, kind):
    events = []

    async def run(_requests, context, _emit):
        context.add_done_callback(lambda done: events.append(("done", done is context)))
        events.append("ran")

    served = await harness.serve({"Run": scripted(kind, run)})

    await served.outcome(kind, "Run")

    await eventually(lambda: len(events) == 2)
    assert events == ["ran", ("done", True)]


async def test_done_callbacks_of_the_call(harness, kind):
    events = []
    served = await harness.serve({"Echo": scripted(kind, _echo)})
    call = served.call(kind, "Echo")
    call.add_done_callback(events.append)

    await outcome_of(kind, call)
    assert events == [call]

    call.add_done_callback(lambda done: events.append(("late", done is call)))
    assert events[1] == ("late", True)


async def test_unknown_method(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})

    outcome = await served.outcome(kind, "Nope", SILENT)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


async def test_unknown_service(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})

    call = served.stub(kind, "Echo", service="aura.test.v1.Nope")
    outcome = await outcome_of(kind, call(*[text()][: kind.startswith("unary")]))

    assert (outcome.code, outcome.details) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


LIMIT = 4 * 1024 * 1024


def _filled(size: int) -> str:
    return "x" * (size - 5)  # tag and length take five bytes


async def test_the_longest_message(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo_as_is)})

    outcome = await served.outcome(kind, "Echo", [text(_filled(LIMIT))])

    assert [len(response) for response in outcome.responses] == [LIMIT - 5]


async def test_an_oversize_request(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo_as_is)})

    outcome = await served.outcome(kind, "Echo", [text(_filled(LIMIT + 1))])

    assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert outcome.details == f"SERVER: Received message larger than max ({LIMIT + 1} vs. {LIMIT})"


async def test_an_oversize_response(harness, kind):
    async def run(_requests, _context, emit):
        await emit(text(_filled(LIMIT + 1)))

    served = await harness.serve({"Run": scripted(kind, run)})

    outcome = await served.outcome(kind, "Run")

    assert outcome.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"CLIENT: Received message larger than max ({LIMIT + 1} vs. {LIMIT})" in outcome.details


async def _echo_as_is(requests, _context, emit):
    async for request in requests:
        await emit(request)


async def test_bytes_without_serializers(harness, kind):
    async def with_message(request, _context):
        if kind == "stream_unary":
            return b"".join([part async for part in request])
        return request

    async def with_stream(request, context):
        if kind == "stream_stream":
            async for part in request:
                await context.write(part)
        else:
            await context.write(request)

    make = getattr(grpc, f"{kind}_rpc_method_handler")
    served = await harness.serve({"Raw": make(with_stream if kind.endswith("stream") else with_message)})

    call = getattr(served.channel, kind)(f"/{SERVICE}/Raw")(b"raw" if kind.startswith("unary") else [b"raw"])

    assert await (call.read() if kind.endswith("stream") else call) == b"raw"
    call.cancel()


async def test_a_request_that_cannot_be_parsed(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})

    call = served.stub(kind, "Echo", serializer=lambda _: b"\xff\xff")
    outcome = await outcome_of(kind, call(text() if kind.startswith("unary") else [text()]))

    assert outcome.code is grpc.StatusCode.UNKNOWN
    assert outcome.details.startswith("Unexpected <class 'google.protobuf.message.DecodeError'>: Error parsing message")


async def test_a_response_that_cannot_be_serialized(harness, kind):
    async def run(_requests, _context, emit):
        await emit(3)

    served = await harness.serve({"Run": scripted(kind, run)})

    outcome = await served.outcome(kind, "Run")

    assert outcome.code is grpc.StatusCode.UNKNOWN
    assert outcome.details.startswith("Unexpected <class 'TypeError'>: ")


async def test_options_without_effect_are_accepted(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})

    outcome = await served.outcome(
        kind, "Echo", wait_for_ready=True, compression=grpc.Compression.Gzip, credentials=None, timeout=30
    )

    assert outcome.responses == ["echo "]


async def test_a_cancelled_wait_for_the_status_does_not_cancel_the_call(harness, kind):
    release = asyncio.Event()

    async def run(requests, _context, emit):
        async for _ in requests:
            pass
        await release.wait()
        await emit(text("ended"))

    served = await harness.serve({"Run": scripted(kind, run)})
    call = served.call(kind, "Run")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.code(), 0.05)
    release.set()

    assert (await outcome_of(kind, call)).responses == ["ended"]


async def test_many_calls_at_once(harness, kind):
    served = await harness.serve({"Echo": scripted(kind, _echo)})

    outcomes = await asyncio.gather(*[served.outcome(kind, "Echo", [text(str(n))]) for n in range(200)])

    assert [outcome.responses for outcome in outcomes] == [[f"echo {n}"] for n in range(200)]
