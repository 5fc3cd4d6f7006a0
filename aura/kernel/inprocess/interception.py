"""Client interceptors: the calls that a client holds while interceptors decide what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, TypeAlias

import grpc
import grpc.aio

from aura.kernel.inprocess.calls import ALREADY_FINISHED, HALF_CLOSED, LOCALLY_CANCELLED, MIXED_STYLES, RequestIterator

Invoke: TypeAlias = Callable[[grpc.aio.ClientCallDetails, Any], Any]

_KINDS: tuple[type[grpc.aio.ClientInterceptor], ...] = (
    grpc.aio.UnaryUnaryClientInterceptor,
    grpc.aio.UnaryStreamClientInterceptor,
    grpc.aio.StreamUnaryClientInterceptor,
    grpc.aio.StreamStreamClientInterceptor,
)
_END = object()


def by_kind(
    interceptors: Sequence[grpc.aio.ClientInterceptor],
) -> Mapping[type[grpc.aio.ClientInterceptor], Sequence[grpc.aio.ClientInterceptor]]:
    """Sort interceptors by the kind of call they are for; one that claims several is of the first only, as in grpc.aio.

    Raises ValueError for what is no interceptor.
    """
    sorted_ones: dict[type[grpc.aio.ClientInterceptor], list[grpc.aio.ClientInterceptor]] = {k: [] for k in _KINDS}
    for interceptor in interceptors:
        kind = next((kind for kind in _KINDS if isinstance(interceptor, kind)), None)
        if kind is None:
            raise ValueError(f"Interceptor {interceptor!r} must be one of {[kind.__name__ for kind in _KINDS]}")
        sorted_ones[kind].append(interceptor)
    return sorted_ones


class _InterceptedCall(grpc.aio.Call):
    """Stands for the call that the interceptors, which run in a task of their own, will make, or answer themselves."""

    _method_name: ClassVar[str]

    def __init__(
        self, interceptors: Sequence[Any], invoke: Invoke, details: grpc.aio.ClientCallDetails, request: Any
    ) -> None:
        self._invoke = invoke
        self._last_call: Any = None
        loop = asyncio.get_running_loop()
        self._interception: asyncio.Task[Any] = loop.create_task(self._run(interceptors, details, request))

    async def _run(self, interceptors: Sequence[Any], details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        if not interceptors:
            self._last_call = self._invoke(details, request)
            return self._last_call
        intercept = getattr(interceptors[0], self._method_name)
        answer = await intercept(partial(self._run, interceptors[1:]), details, request)
        return answer if isinstance(answer, grpc.aio.Call) else self._wrap(answer)

    def _wrap(self, answer: Any) -> grpc.aio.Call:
        raise NotImplementedError

    def cancel(self) -> bool:
        """End the call, or keep the interceptors from making it; False if it had ended."""
        if not self._interception.done():
            return self._interception.cancel()
        call = self._call_or_none()
        return call is not None and call.cancel()

    def cancelled(self) -> bool:
        """Return whether the call ended with CANCELLED."""
        if not self._interception.done():
            return False
        if self._interception.cancelled():
            return True
        error = self._interception.exception()
        if error is not None:
            return isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.CANCELLED
        return bool(self._interception.result().cancelled())

    def done(self) -> bool:
        """Return whether the interceptors are through and the call has ended."""
        if not self._interception.done():
            return False
        call = self._call_or_none()
        return call is None or call.done()

    def time_remaining(self) -> float | None:
        """Return the seconds that the call made last has left; None before there is one."""
        return None if self._last_call is None else self._last_call.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have ``callback`` called with this call at its end."""
        if self._interception.done():
            self._call_back(callback, self._interception)
        else:
            self._interception.add_done_callback(partial(self._call_back, callback))

    def _call_back(self, callback: Callable[[Any], None], _interception: asyncio.Task[Any]) -> None:
        call = self._call_or_none()
        if call is None:
            callback(self)
        else:
            call.add_done_callback(lambda _: callback(self))

    def _call_or_none(self) -> Any:
        """Return what the interceptors made; None when they raised."""
        if self._interception.cancelled() or self._interception.exception() is not None:
            return None
        return self._interception.result()

    async def _ended(self) -> grpc.aio.AioRpcError | Any:
        """Return the call, or the error that the interceptors ended it with."""
        await asyncio.wait((self._interception,))
        if self._interception.cancelled():
            return grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, None, None, LOCALLY_CANCELLED, "")
        error = self._interception.exception()
        return error if isinstance(error, grpc.aio.AioRpcError) else self._interception.result()

    async def initial_metadata(self) -> Any:
        """Wait for the metadata that precedes the first response."""
        return await _value((await self._ended()).initial_metadata())

    async def trailing_metadata(self) -> Any:
        """Wait for the end of the call and return the metadata of its status."""
        return await _value((await self._ended()).trailing_metadata())

    async def code(self) -> Any:
        """Wait for the end of the call and return its code."""
        return await _value((await self._ended()).code())

    async def details(self) -> Any:
        """Wait for the end of the call and return the text of its status."""
        return await _value((await self._ended()).details())

    async def debug_error_string(self) -> Any:
        """Wait for the end of the call and return code and text in one."""
        return await _value((await self._ended()).debug_error_string())

    async def wait_for_connection(self) -> None:
        """Wait for the interceptors, and then as the call does."""
        await (await self._interception).wait_for_connection()


class _UnaryResponse(_InterceptedCall):
    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the interceptors and for the response."""
        call = yield from self._interception.__await__()
        return (yield from call.__await__())

    def _wrap(self, answer: Any) -> grpc.aio.Call:
        return _Answer(answer)


class _StreamResponse(_InterceptedCall):
    _responses: AsyncGenerator[Any, None] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        """Wait for the interceptors and iterate over the responses."""
        if self._responses is None:
            self._responses = self._iterate()
        return self._responses

    async def read(self) -> Any:
        """Return the next response, or grpc.aio.EOF after the last."""
        message = await anext(self.__aiter__(), _END)
        return grpc.aio.EOF if message is _END else message

    async def _iterate(self) -> AsyncGenerator[Any, None]:
        async for message in await self._interception:
            yield message

    def _wrap(self, answer: Any) -> grpc.aio.Call:
        return _AnswerStream(self._last_call, answer)


class _StreamRequest(_InterceptedCall):
    def __init__(
        self,
        interceptors: Sequence[Any],
        invoke: Invoke,
        details: grpc.aio.ClientCallDetails,
        request_iterator: RequestIterator | None,
    ) -> None:
        self._half_closed = False
        self._written: asyncio.Queue[Any] | None = None
        if request_iterator is None:
            self._written = asyncio.Queue(maxsize=1)
            request_iterator = _written(self._written)
        super().__init__(interceptors, invoke, details, request_iterator)

    async def write(self, request: Any) -> None:
        """Give the interceptors a request and wait until there is room for another."""
        call = await self._call_to_write_to()
        if call.done():
            raise asyncio.InvalidStateError(ALREADY_FINISHED)
        if self._half_closed:
            raise asyncio.InvalidStateError(HALF_CLOSED)
        await self._put(call, request)
        if call.done():
            raise asyncio.InvalidStateError(ALREADY_FINISHED)

    async def done_writing(self) -> None:
        """Say that no request follows; may be said twice."""
        call = await self._call_to_write_to()
        if not self._half_closed:
            self._half_closed = True
            await self._put(call, _END)

    async def _call_to_write_to(self) -> Any:
        if self._written is None:
            raise grpc.aio.UsageError(MIXED_STYLES)
        try:
            return await asyncio.shield(self._interception)
        except grpc.aio.AioRpcError:
            raise asyncio.InvalidStateError(ALREADY_FINISHED) from None
        except asyncio.CancelledError:
            if self._interception.cancelled():
                raise asyncio.InvalidStateError(ALREADY_FINISHED) from None
            raise

    async def _put(self, call: Any, item: Any) -> None:
        assert self._written is not None
        putting = asyncio.ensure_future(self._written.put(item))
        ending = asyncio.ensure_future(call.code())
        try:
            await asyncio.wait((putting, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            putting.cancel()
            ending.cancel()


class InterceptedUnaryUnaryCall(_UnaryResponse, grpc.aio.UnaryUnaryCall[Any, Any]):
    """An intercepted call with one request and one response."""

    _method_name = "intercept_unary_unary"


class InterceptedUnaryStreamCall(_StreamResponse, grpc.aio.UnaryStreamCall[Any, Any]):
    """An intercepted call with one request and a stream of responses."""

    _method_name = "intercept_unary_stream"


class InterceptedStreamUnaryCall(_StreamRequest, _UnaryResponse, grpc.aio.StreamUnaryCall[Any, Any]):
    """An intercepted call with a stream of requests and one response."""

    _method_name = "intercept_stream_unary"


class InterceptedStreamStreamCall(_StreamRequest, _StreamResponse, grpc.aio.StreamStreamCall[Any, Any]):
    """An intercepted call with a stream each way."""

    _method_name = "intercept_stream_stream"


class _Answered(grpc.aio.Call):
    """A call that never was: an interceptor gave the answer."""

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        callback(self)

    def time_remaining(self) -> float | None:
        return None

    async def initial_metadata(self) -> Any:
        return None

    async def trailing_metadata(self) -> Any:
        return None

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK

    async def details(self) -> str:
        return ""

    async def debug_error_string(self) -> str:
        return ""

    async def wait_for_connection(self) -> None:
        return None


class _Answer(_Answered, grpc.aio.UnaryUnaryCall[Any, Any]):
    def __init__(self, response: Any) -> None:
        self._response = response

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return self._response


class _AnswerStream(_Answered, grpc.aio.UnaryStreamCall[Any, Any]):
    """Responses that come from an interceptor; status and the rest are those of the call behind it, if there is one."""

    def __init__(self, call: Any, responses: AsyncIterable[Any]) -> None:
        self._call = call
        self._responses = responses
        if call is not None:
            for name in ("cancel", "cancelled", "done", "add_done_callback", "time_remaining", "initial_metadata"):
                setattr(self, name, getattr(call, name))
            for name in ("trailing_metadata", "code", "details", "debug_error_string", "wait_for_connection"):
                setattr(self, name, getattr(call, name))

    def __aiter__(self) -> AsyncIterator[Any]:
        return aiter(self._responses)

    async def read(self) -> Any:
        return await anext(aiter(self._responses), grpc.aio.EOF)


async def _written(queue: asyncio.Queue[Any]) -> AsyncGenerator[Any, None]:
    while (request := await queue.get()) is not _END:
        yield request


async def _value(result: Any) -> Any:
    """Return what an error says at once and a call says when it has ended."""
    return await result if asyncio.iscoroutine(result) else result
