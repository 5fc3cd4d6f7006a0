"""Interceptors of every kind, on both sides, in the order of grpc.aio, on every transport."""

import asyncio
import contextvars

import grpc
import pytest

from tests.kernel.inprocess.harness import SILENT, eventually, handler, outcome_of, scripted, text


async def _echo(requests, context, emit):
    seen = [value for key, value in context.invocation_metadata() if key == "trace"]
    async for request in requests:
        await emit(text(f"{request.value}{''.join(seen)}"))


class Recording(grpc.aio.ServerInterceptor):
    def __init__(self, name, events):
        self._name = name
        self._events = events

    async def intercept_service(self, continuation, handler_call_details):
        self._events.append(f"{self._name} {handler_call_details.method.rsplit('/', 1)[1]}")
        found = await continuation(handler_call_details)
        self._events.append(f"{self._name} {'found' if found else 'not found'}")
        return found


async def test_server_interceptors_run_in_order(harness, kind):
    events = []
    served = await harness.serve(
        {"Echo": scripted(kind, _echo)}, interceptors=[Recording("a", events), Recording("b", events)]
    )

    assert (await served.outcome(kind, "Echo", [text("x")])).responses == ["x"]
    assert (await served.outcome(kind, "Nope", SILENT)).code is grpc.StatusCode.UNIMPLEMENTED

    assert events[:4] == ["a Echo", "b Echo", "b found", "a found"]
    assert events[4:] == ["a Nope", "b Nope", "b not found", "a not found"]


async def test_a_server_interceptor_may_refuse(harness, kind):
    started = []

    class Refusing(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, handler_call_details):
            found = await continuation(handler_call_details)

            async def refuse(_request, context):
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

            make = getattr(grpc, f"{kind}_rpc_method_handler")
            return make(refuse, found.request_deserializer, found.response_serializer)

    async def run(_requests, _context, _emit):
        started.append(True)

    served = await harness.serve({"Run": scripted(kind, run)}, interceptors=[Refusing()])

    outcome = await served.outcome(kind, "Run", SILENT)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.UNAUTHENTICATED, "who are you?")
    assert not started


async def test_a_server_interceptor_that_raises(harness, kind):
    class Failing(grpc.aio.ServerInterceptor):
        async def intercept_service(self, _continuation, _handler_call_details):
            raise ValueError("a mistake")

    served = await harness.serve({"Echo": scripted(kind, _echo)}, interceptors=[Failing()])

    outcome = await served.outcome(kind, "Echo", SILENT)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: a mistake")


async def test_context_variables_of_server_interceptors_reach_the_handler(harness, kind):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Setting(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, handler_call_details):
            seen.append(variable.get())
            variable.set("by the interceptor")
            return await continuation(handler_call_details)

    async def run(_requests, _context, _emit):
        seen.append(variable.get())

    served = await harness.serve({"Run": scripted(kind, run)}, interceptors=[Setting()])
    variable.set("by the caller")

    await served.outcome(kind, "Run")

    assert seen == ["unset", "by the interceptor"]


async def test_server_interceptors_see_the_metadata(harness, kind):
    seen = []

    class Looking(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, handler_call_details):
            seen.extend((datum.key, datum.value) for datum in handler_call_details.invocation_metadata)
            return await continuation(handler_call_details)

    served = await harness.serve({"Echo": scripted(kind, _echo)}, interceptors=[Looking()])

    await served.outcome(kind, "Echo", metadata=(("k", "v"),))

    assert ("k", "v") in seen


async def test_what_is_no_server_interceptor_is_refused(harness):
    with pytest.raises(ValueError, match="must be"):
        await harness.serve({}, interceptors=[object()])


class _Tracing:
    """Adds to the metadata, and to a log, in the order of the chain."""

    def __init__(self, name, events):
        self._name = name
        self._events = events

    async def _intercept(self, continuation, details, request):
        self._events.append((self._name, details.method, details.timeout is not None))
        details.metadata.add("trace", self._name)
        call = await continuation(details, request)
        self._events.append((self._name, "made"))
        return call


class UnaryUnary(_Tracing, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation, client_call_details, request):
        return await self._intercept(continuation, client_call_details, request)


class UnaryStream(_Tracing, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, client_call_details, request):
        return await self._intercept(continuation, client_call_details, request)


class StreamUnary(_Tracing, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation, client_call_details, request_iterator):
        return await self._intercept(continuation, client_call_details, request_iterator)


class StreamStream(_Tracing, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation, client_call_details, request_iterator):
        return await self._intercept(continuation, client_call_details, request_iterator)


CLIENT = {
    "unary_unary": UnaryUnary,
    "unary_stream": UnaryStream,
    "stream_unary": StreamUnary,
    "stream_stream": StreamStream,
}


async def test_client_interceptors_run_in_order_and_by_kind(harness, kind):
    events, others = [], []
    chain = [interceptor("other", others) for name, interceptor in CLIENT.items() if name != kind]
    chain[1:1] = [CLIENT[kind]("a", events), CLIENT[kind]("b", events)]
    served = await harness.serve({"Echo": scripted(kind, _echo)}, client_interceptors=chain)

    call = served.call(kind, "Echo", [text("x")], timeout=20)
    outcome = await outcome_of(kind, call)

    assert outcome.responses == ["xab"]
    assert outcome.code is grpc.StatusCode.OK
    method = b"/aura.test.v1.TestService/Echo"
    assert events == [("a", method, True), ("b", method, True), ("b", "made"), ("a", "made")]
    assert not others
    assert call.done()
    assert not call.cancelled()


async def test_intercepted_failures(harness, kind):
    async def fail(_requests, context, _emit):
        await context.abort(grpc.StatusCode.NOT_FOUND, "gone", (("k", "v"),))

    served = await harness.serve({"Fail": scripted(kind, fail)}, client_interceptors=[CLIENT[kind]("a", [])])

    outcome = await served.outcome(kind, "Fail")

    assert (outcome.code, outcome.details, outcome.raised) == (grpc.StatusCode.NOT_FOUND, "gone", "AioRpcError")
    assert outcome.trailing_metadata == {"k": ["v"]}


async def test_an_intercepted_call_times_out(harness, kind):
    async def hang(_requests, _context, _emit):
        await asyncio.Event().wait()

    served = await harness.serve({"Hang": scripted(kind, hang)}, client_interceptors=[CLIENT[kind]("a", [])])

    assert (await served.outcome(kind, "Hang", timeout=0.1)).code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_an_intercepted_call_is_cancelled_before_the_interceptors_ran(harness, kind):
    events = []
    served = await harness.serve({"Echo": scripted(kind, _echo)}, client_interceptors=[CLIENT[kind]("a", events)])

    call = served.call(kind, "Echo")

    assert call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await (call.read() if kind.endswith("stream") else call)
    assert call.cancelled()
    assert call.done()
    assert await call.code() is grpc.StatusCode.CANCELLED
    assert await call.details() == "Locally cancelled by application!"
    assert not events


async def test_an_intercepted_call_is_cancelled_while_it_runs(harness, kind):
    events = []

    async def hang(_requests, _context, _emit):
        events.append("started")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    served = await harness.serve({"Hang": scripted(kind, hang)}, client_interceptors=[CLIENT[kind]("a", [])])
    call = served.call(kind, "Hang")
    await eventually(lambda: "started" in events)

    assert call.cancel()

    assert await call.code() is grpc.StatusCode.CANCELLED
    await eventually(lambda: "cancelled" in events)


async def test_done_callbacks_of_an_intercepted_call(harness, kind):
    events = []
    served = await harness.serve({"Echo": scripted(kind, _echo)}, client_interceptors=[CLIENT[kind]("a", [])])
    call = served.call(kind, "Echo")

    call.add_done_callback(lambda done: events.append(done is call))
    await outcome_of(kind, call)
    call.add_done_callback(lambda done: events.append(done is call))

    assert events == [True, True]


async def test_an_interceptor_that_raises(harness, kind):
    class Failing(CLIENT[kind]):
        async def _intercept(self, _continuation, _details, _request):
            raise grpc.aio.AioRpcError(grpc.StatusCode.PERMISSION_DENIED, None, None, "not from here")

    served = await harness.serve({"Echo": scripted(kind, _echo)}, client_interceptors=[Failing("a", [])])

    call = served.call(kind, "Echo")

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call.read() if kind.endswith("stream") else call)
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
    assert await call.details() == "not from here"
    assert not call.cancel()


async def test_an_interceptor_may_answer_itself(harness):
    class Answering(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, _continuation, _details, _request):
            return text("from the interceptor")

    served = await harness.serve({"Echo": scripted("unary_unary", _echo)}, client_interceptors=[Answering()])
    call = served.call("unary_unary", "Echo")

    assert (await call).value == "from the interceptor"
    assert await call.code() is grpc.StatusCode.OK


async def test_an_interceptor_may_retry(harness):
    attempts = []

    class Retrying(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, client_call_details, request):
            while True:
                call = await continuation(client_call_details, request)
                if await call.code() is grpc.StatusCode.OK:
                    return call

    async def fail_twice(_request, context):
        attempts.append(True)
        if len(attempts) < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "try again")
        return text("at last")

    served = await harness.serve({"Run": handler("unary_unary", fail_twice)}, client_interceptors=[Retrying()])

    assert (await served.call("unary_unary", "Run")).value == "at last"
    assert len(attempts) == 3


async def test_an_interceptor_may_change_responses(harness):
    class Doubling(grpc.aio.UnaryStreamClientInterceptor):
        async def intercept_unary_stream(self, continuation, client_call_details, request):
            call = await continuation(client_call_details, request)

            async def doubled():
                async for response in call:
                    yield response
                    yield response

            return doubled()

    async def run(_request, _context):
        yield text("1")
        yield text("2")

    served = await harness.serve({"Run": handler("unary_stream", run)}, client_interceptors=[Doubling()])

    outcome = await served.outcome("unary_stream", "Run")

    assert outcome.responses == ["1", "1", "2", "2"]
    assert outcome.code is grpc.StatusCode.OK


async def test_an_interceptor_may_change_the_method_and_the_requests(harness):
    class Redirecting(grpc.aio.StreamUnaryClientInterceptor):
        async def intercept_stream_unary(self, continuation, client_call_details, request_iterator):
            async def upper():
                async for request in request_iterator:
                    yield text(request.value.upper())

            details = client_call_details._replace(method=b"/aura.test.v1.TestService/Join")
            return await continuation(details, upper())

    async def join(requests, _context):
        return text("".join([request.value async for request in requests]))

    served = await harness.serve({"Join": handler("stream_unary", join)}, client_interceptors=[Redirecting()])
    call = served.stub("stream_unary", "Elsewhere")()

    await call.write(text("a"))
    await call.write(text("b"))
    await call.done_writing()

    assert (await call).value == "AB"


async def test_reading_and_writing_an_intercepted_stream(harness):
    async def echo(requests, _context):
        async for request in requests:
            yield text(f"echo {request.value}")

    served = await harness.serve({"Echo": handler("stream_stream", echo)}, client_interceptors=[StreamStream("a", [])])
    call = served.stub("stream_stream", "Echo")()

    for number in range(3):
        await call.write(text(str(number)))
        assert (await call.read()).value == f"echo {number}"
    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    with pytest.raises(asyncio.InvalidStateError, match="already finished"):
        await call.write(text())


async def test_client_interceptors_see_the_caller_s_context_variables(harness, kind):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Looking(CLIENT[kind]):
        async def _intercept(self, continuation, details, request):
            seen.append(variable.get())
            return await continuation(details, request)

    served = await harness.serve({"Echo": scripted(kind, _echo)}, client_interceptors=[Looking("a", [])])
    variable.set("by the caller")

    await served.outcome(kind, "Echo")

    assert seen == ["by the caller"]


async def test_what_is_no_client_interceptor_is_refused(harness):
    with pytest.raises(ValueError, match="must be"):
        await harness.serve({}, client_interceptors=[object()])
