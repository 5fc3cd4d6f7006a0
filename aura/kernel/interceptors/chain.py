"""Runs one chain of interceptors around every call, on the network and in-process alike."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NoReturn, cast

import grpc
from grpc_status import rpc_status

from aura.kernel.errors import AuraError, InvalidArgument
from aura.kernel.interceptors.call import Call, Context, Method, current_call
from aura.kernel.rpc_status import to_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

    from google.protobuf.message import Message

DO_NOT_RETRY = ("grpc-retry-pushback-ms", "-1")
"""Tells gRPC's retries (gRFC A6) that this status is the method's own answer, and not to be asked for again."""

Handler = Any  # grpc.RpcMethodHandler, whose attributes grpcio leaves untyped
Serializer = Any  # a callable that takes a message and returns bytes

_HANDLER_MAKERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class MalformedRequest(InvalidArgument):
    """The bytes sent are no message of the request's type."""

    reason = "MALFORMED_REQUEST"

    def __init__(self) -> None:
        super().__init__("the request cannot be decoded as a message of the type that this method takes")


class Interceptor:
    """One concern of every call. Hooks run in the chain's order on the way in, in reverse on the way out."""

    async def on_call(self, call: Call) -> None:
        """Runs before anything else; raising refuses the call."""

    def on_request(self, call: Call, request: Message) -> None:
        """Runs for each request message; raising refuses it."""

    def on_response(self, call: Call, response: Message) -> None:
        """Runs for each response message before it is sent; raising ends the call without it."""

    def on_error(self, call: Call, error: Exception) -> Exception:
        """Returns the error to go on with in place of `error`."""
        del call
        return error

    def on_end(self, call: Call, error: BaseException | None) -> None:
        """Runs once, when the call's outcome is known; must not raise."""

    async def on_refusal(self, call: Call, error: AuraError) -> None:
        """Runs before the caller is told of an error; must not raise."""


class InterceptorChain(grpc.aio.ServerInterceptor):
    """Applies interceptors to every method.

    Of the services it is told to leave alone it only answers for bytes that are no message.
    """

    def __init__(self, interceptors: Sequence[Interceptor], *, except_services: Collection[str] = ()) -> None:
        self._interceptors = tuple(interceptors)
        self._on_call = _overriding(interceptors, "on_call")
        self._on_request = _overriding(interceptors, "on_request")
        self._on_response = _overriding(interceptors, "on_response")[::-1]
        self._on_error = _overriding(interceptors, "on_error")[::-1]
        self._on_end = _overriding(interceptors, "on_end")[::-1]
        self._on_refusal = _overriding(interceptors, "on_refusal")[::-1]
        self._except = frozenset(except_services)
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Returns the method's handler with the chain around it; made once per method."""
        handler = await continuation(handler_call_details)
        return None if handler is None else self.around(handler_call_details.method, handler)

    def around(self, path: str, handler: Handler) -> Handler:
        """Returns a method's handler with around it what of the chain is for its service; made once per method."""
        known = self._wrapped.get(path)
        if known is None or known[0] is not handler:
            chain = InterceptorChain(()) if path.rpartition("/")[0][1:] in self._except else self
            known = self._wrapped[path] = (handler, chain.wrap(path, handler))
        return known[1]

    def wrap(self, path: str, handler: Handler) -> Handler:
        """Returns a method's handler with the chain around it."""
        behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        method = Method(
            path=path,
            request_streaming=handler.request_streaming,
            response_streaming=handler.response_streaming,
            opaque=handler.request_deserializer is None,
        )
        serialize = handler.response_serializer or bytes
        make = _HANDLER_MAKERS[method.request_streaming, method.response_streaming]
        around = self._around_stream if method.response_streaming else self._around_unary
        return make(
            around(method, behavior, serialize),
            request_deserializer=_tolerant(handler.request_deserializer),
            response_serializer=_unless_done(serialize),
        )

    def _around_unary(self, method: Method, behavior: Any, serialize: Serializer) -> Any:
        async def serve(request: Any, context: Context) -> Any:
            call = _begun(method, context)
            error: BaseException | None = None
            try:
                await self._enter(call)
                response = await behavior(self._checked(call, request), context)
                self._answer(call, response)
                return serialize(response)
            except BaseException as raised:
                error = self._outcome(call, raised)
                if not isinstance(error, AuraError):
                    raise
            finally:
                self._leave(call, error)
            return await self._refuse(call, error)

        return serve

    def _around_stream(self, method: Method, behavior: Any, serialize: Serializer) -> Any:
        async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
            call = _begun(method, context)
            error: BaseException | None = None
            try:
                await self._enter(call)
                responses: Any = behavior(self._checked(call, request), self._watched(call))
                if inspect.isawaitable(responses):  # a handler that writes to the context instead of yielding
                    await _or_end(call.revoked, responses)
                else:
                    guarded: Any = responses if call.revoked is None else _until(call.revoked, responses)
                    async with aclosing(guarded):
                        async for response in guarded:
                            self._answer(call, response)
                            yield serialize(response)
            except BaseException as raised:
                error = self._outcome(call, raised)
                if not isinstance(error, AuraError):
                    raise
            finally:
                self._leave(call, error)
            if isinstance(error, AuraError):
                await self._refuse(call, error)

        return serve

    async def _enter(self, call: Call) -> None:
        for hook in self._on_call:
            await hook(call)

    def _checked(self, call: Call, request: Any) -> Any:
        return self._check_stream(call, request) if call.method.request_streaming else self._check(call, request)

    def _check(self, call: Call, request: Any) -> Any:
        if call.method.opaque:
            return request
        if isinstance(request, AuraError):
            raise request
        call.request = request
        for hook in self._on_request:
            hook(call, request)
        return request

    async def _check_stream(self, call: Call, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for request in requests:
            yield self._check(call, request)
        await asyncio.sleep(
            0
        )  # grpc.aio shows a cancelled call's stream as ended, a moment before it cancels the handler
        if call.context.cancelled():
            raise asyncio.CancelledError

    def _answer(self, call: Call, response: Any) -> None:
        if not call.method.opaque:
            for hook in self._on_response:
                hook(call, response)

    def _watched(self, call: Call) -> Context:
        """Returns the context that a stream's handler gets: one that shows what it writes, if anybody looks at that."""
        if not self._on_response:
            return call.context
        return cast("Context", _WatchedContext(call.context, lambda response: self._answer(call, response)))

    def _outcome(self, call: Call, raised: BaseException) -> BaseException:
        """Returns what the call ends with; an abort, a cancellation or a closed generator stays what it is."""
        if isinstance(raised, grpc.aio.BaseError) or not isinstance(raised, Exception):
            return raised
        for hook in self._on_error:
            raised = hook(call, raised)
        return raised

    async def _refuse(self, call: Call, error: AuraError) -> NoReturn:
        for hook in self._on_refusal:
            await hook(call, error)
        await _abort(call, error)

    def _leave(self, call: Call, error: BaseException | None) -> None:
        for hook in self._on_end:
            hook(call, error)


def _begun(method: Method, context: Context) -> Call:
    """Returns a call that has just come, which the present task serves from now on."""
    sent = context.invocation_metadata() or ()  # grpcio makes it anew each time
    call = Call(method=method, context=context, metadata=dict(sent), sent=sent)
    current_call.set(call)
    return call


async def _or_end(end: asyncio.Future[None] | None, handling: Awaitable[None]) -> None:
    """Waits for a handler that writes its responses by hand; cancels it, and raises the error, if a future fails."""
    if end is None:
        await handling
        return
    running = asyncio.ensure_future(handling)
    try:
        await asyncio.wait((running, end), return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not running.done():
            running.cancel()
            await asyncio.wait([running])
        _see(running)
    await (end if end.done() else running)


async def _until(end: asyncio.Future[None], responses: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yields responses until a future fails, even while none comes; then raises its error."""
    loop, context = asyncio.get_running_loop(), copy_context()  # one for all steps, as without this

    async def step() -> Any:
        return await anext(responses)

    try:
        while True:
            following = loop.create_task(step(), context=context)
            try:
                await asyncio.wait((following, end), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait([following])
                _see(following)
            if end.done():
                await end
            try:
                yield await following
            except StopAsyncIteration:
                return
    finally:
        await responses.aclose()  # type: ignore[attr-defined] # it is a generator


def _see(task: asyncio.Task[Any] | asyncio.Future[Any]) -> None:
    """Keeps asyncio from logging how a task failed, as nobody asks for it where the call has ended otherwise."""
    if task.done() and not task.cancelled():
        task.exception()


class _WatchedContext:
    """A servicer's context that lets responses be looked at which are written to it by hand."""

    __slots__ = ("_answer", "_context")

    def __init__(self, context: Context, answer: Callable[[Any], None]) -> None:
        self._context = context
        self._answer = answer

    async def write(self, message: Any) -> None:
        """Sends a response."""
        self._answer(message)
        await self._context.write(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


async def _abort(call: Call, error: AuraError) -> NoReturn:
    status = rpc_status.to_status(to_status(error, call.request_id))
    set_before = tuple(call.context.trailing_metadata() or ())  # which an abort with metadata of its own would replace
    if error.never_ran:
        set_before = tuple(each for each in set_before if tuple(each) != DO_NOT_RETRY)
    await call.context.abort(status.code, status.details, (*set_before, *status.trailing_metadata))
    raise AssertionError("abort raises")


def _overriding(interceptors: Sequence[Interceptor], hook: str) -> list[Any]:
    """Returns the bound hooks of those interceptors that have this one, so that the others cost nothing."""
    return [
        getattr(interceptor, hook)
        for interceptor in interceptors
        if getattr(type(interceptor), hook) is not getattr(Interceptor, hook)
    ]


def _unless_done(serialize: Serializer) -> Serializer:
    """Lets bytes through: the chain serializes by itself, so that a failure to do so is mapped as any other."""

    def finish(response: Any) -> bytes:
        return response if isinstance(response, bytes) else serialize(response)

    return finish


def _tolerant(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Hands the chain an error for bytes that are no message, for grpcio would answer with the parser's own words."""
    if deserialize is None:
        return None

    def parse(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception:  # noqa: BLE001 whatever the parser raises means the same
            return MalformedRequest()

    return parse
