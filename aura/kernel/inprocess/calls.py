"""The call objects that a client holds, one class for each of the four kinds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio

from aura.kernel.inprocess.exchange import Exchange, Status

if TYPE_CHECKING:
    from aura.kernel.inprocess.context import Deserializer, Serializer

_LOGGER = logging.getLogger(__name__)

LOCALLY_CANCELLED = "Locally cancelled by application!"
GARBAGE_COLLECTED = "Cancelled upon garbage collection!"
ALREADY_FINISHED = "RPC already finished."
HALF_CLOSED = 'RPC is half closed after calling "done_writing".'
MIXED_STYLES = "The iterator and read/write APIs may not be mixed on a single RPC."

BAD_REQUEST = Status(grpc.StatusCode.INTERNAL, "Exception serializing request!")
BAD_RESPONSE = Status(grpc.StatusCode.INTERNAL, "Exception deserializing response!")

RequestIterator: TypeAlias = AsyncIterable[Any] | Iterable[Any]


def serialize(message: Any, serializer: Serializer | None) -> bytes | None:
    """Return the request as bytes, or None, with a line in the log, if it cannot be serialised."""
    try:
        raw = message if serializer is None else serializer(message)
    except Exception:
        _LOGGER.exception("Exception serializing request!")
        return None
    if not isinstance(raw, bytes):
        raise TypeError(f"Expected bytes, got {type(raw).__name__}")
    return raw


class _Call(grpc.aio.Call):
    def __init__(self, exchange: Exchange, serializer: Serializer | None, deserializer: Deserializer | None) -> None:
        self._exchange = exchange
        self._serializer = serializer
        self._deserializer = deserializer

    def cancelled(self) -> bool:
        """Return whether the call ended with CANCELLED."""
        status = self._exchange.status
        return status is not None and status.code is grpc.StatusCode.CANCELLED

    def done(self) -> bool:
        """Return whether the call has ended."""
        return self._exchange.status is not None

    def cancel(self) -> bool:
        """End the call and cancel its handler; False if it had ended."""
        return self._exchange.cancel(LOCALLY_CANCELLED)

    def time_remaining(self) -> float | None:
        """Return the seconds left to the deadline, or None without one."""
        deadline = self._exchange.deadline
        return None if deadline is None else max(0.0, deadline - self._exchange.loop.time())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have ``callback`` called with this call at its end."""
        self._exchange.when_done(partial(callback, self))

    async def initial_metadata(self) -> grpc.aio.Metadata:
        """Wait for the metadata that precedes the first response."""
        return grpc.aio.Metadata(*await self._exchange.headers())

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        """Wait for the end of the call and return the metadata of its status."""
        return grpc.aio.Metadata(*(await self._exchange.terminated()).trailing_metadata)

    async def code(self) -> grpc.StatusCode:
        """Wait for the end of the call and return its code."""
        return (await self._exchange.terminated()).code

    async def details(self) -> str:
        """Wait for the end of the call and return the text of its status."""
        return (await self._exchange.terminated()).details

    async def debug_error_string(self) -> str:
        """Wait for the end of the call and return code and text in one."""
        return _debug_error_string(await self._exchange.terminated())

    def _raise_for_status(self) -> None:
        status = self._exchange.status
        if self._exchange.locally_cancelled:
            raise asyncio.CancelledError
        if status is not None and status.code is not grpc.StatusCode.OK:
            raise self._error(status)

    def _error(self, status: Status) -> grpc.aio.AioRpcError:
        return grpc.aio.AioRpcError(
            status.code,
            grpc.aio.Metadata(*self._exchange.initial_metadata or ()),
            grpc.aio.Metadata(*status.trailing_metadata),
            status.details,
            _debug_error_string(status),
        )

    def _deserialize(self, message: bytes | None) -> Any:
        """Return the response; one that cannot be parsed ends the call."""
        if message is None:
            message = b""
        if self._deserializer is None:
            return message
        try:
            return self._deserializer(message)
        except Exception:
            _LOGGER.exception("Exception deserializing response!")
        self._exchange.finish(BAD_RESPONSE)
        raise self._error(BAD_RESPONSE)

    def __repr__(self) -> str:
        status = self._exchange.status
        state = "running" if status is None else f"{status.code.name}: {status.details}"
        return f"<{type(self).__name__} of {self._exchange.method}, {state}>"


class _UnaryResponse(_Call):
    _NOT_YET = object()
    _response: Any = _NOT_YET

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the response. Raises AioRpcError, or CancelledError if the call was cancelled here."""
        exchange = self._exchange
        exchange.begin_now()
        if exchange.status is None:
            try:
                yield from exchange.terminated().__await__()
            except asyncio.CancelledError:
                self.cancel()
                raise
        if self._response is _UnaryResponse._NOT_YET:
            self._raise_for_status()
            self._response = self._deserialize(exchange.response)
        return self._response

    async def wait_for_connection(self) -> None:
        """Wait for the end of the call. Raises if it failed."""
        await self._exchange.terminated()
        self._raise_for_status()


class _StreamResponse(_Call):
    _responses: AsyncGenerator[Any, None] | None = None
    _reads = False

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over the responses; the iterator raises AioRpcError at the end of a call that failed."""
        if self._reads:
            raise grpc.aio.UsageError(MIXED_STYLES)
        if self._responses is None:
            self._responses = self._iterate()
        return self._responses

    async def read(self) -> Any:
        """Return the next response, or grpc.aio.EOF after the last of a call that went well."""
        if self.done():
            self._raise_for_status()
            return grpc.aio.EOF
        if self._responses is not None:
            raise grpc.aio.UsageError(MIXED_STYLES)
        self._reads = True
        return await self._read()

    async def _iterate(self) -> AsyncGenerator[Any, None]:
        while (message := await self._read()) is not grpc.aio.EOF:
            yield message

    async def _read(self) -> Any:
        self._exchange.begin_now()
        try:
            message = await self._exchange.receive_response()
        except asyncio.CancelledError:
            self.cancel()
            raise
        if message is None:
            self._raise_for_status()
            return grpc.aio.EOF
        return self._deserialize(message)

    async def wait_for_connection(self) -> None:
        """Wait for the initial metadata. Raises if the call has failed."""
        await self._exchange.headers()
        self._raise_for_status()

    def __del__(self) -> None:
        """Do not let a handler fill a stream that nobody can read any longer."""
        if not self.done() and not self._exchange.loop.is_closed():  # and the collector may run in any thread
            self._exchange.loop.call_soon_threadsafe(self._exchange.cancel, GARBAGE_COLLECTED)


class _StreamRequest(_Call):
    def __init__(
        self,
        exchange: Exchange,
        serializer: Serializer | None,
        deserializer: Deserializer | None,
        request_iterator: RequestIterator | None,
    ) -> None:
        super().__init__(exchange, serializer, deserializer)
        self._half_closed = False
        self._sender: asyncio.Task[None] | None = None
        if request_iterator is not None:
            self._sender = exchange.loop.create_task(self._send_all(request_iterator))
            exchange.when_done(self._sender.cancel)

    async def write(self, request: Any) -> None:
        """Send a request and wait until there is room for another."""
        self._refuse_if_iterating()
        await self._write(request)

    async def done_writing(self) -> None:
        """Say that no request follows; may be said twice."""
        self._refuse_if_iterating()
        self._half_close()

    async def wait_for_connection(self) -> None:
        """Return once requests can be sent, which they always can. Raises if the call has failed."""
        await asyncio.sleep(0)
        self._raise_for_status()

    async def _write(self, request: Any) -> None:
        if self.done():
            raise asyncio.InvalidStateError(ALREADY_FINISHED)
        if self._half_closed:
            raise asyncio.InvalidStateError(HALF_CLOSED)
        assert self._exchange.requests is not None
        message = serialize(request, self._serializer)
        if message is None:
            self._exchange.finish(BAD_REQUEST)
            return self._raise_for_status()
        try:
            await self._exchange.requests.put(message)
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._raise_for_status()

    def _half_close(self) -> None:
        if not self.done() and not self._half_closed:
            self._half_closed = True
            assert self._exchange.requests is not None
            self._exchange.requests.close()

    async def _send_all(self, requests: RequestIterator) -> None:
        """Send what the iterator gives; one that raises cancels the call."""
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    await self._write(request)
            else:
                for request in requests:
                    await self._write(request)
            self._half_close()
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            self.cancel()
        except Exception:
            if not self.done():
                _LOGGER.debug("The request iterator of %s raised", self._exchange.method, exc_info=True)
            self.cancel()

    def _refuse_if_iterating(self) -> None:
        if self._sender is not None:
            raise grpc.aio.UsageError(MIXED_STYLES)


class UnaryUnaryCall(_UnaryResponse, grpc.aio.UnaryUnaryCall[Any, Any]):
    """A call with one request and one response."""


class UnaryStreamCall(_StreamResponse, grpc.aio.UnaryStreamCall[Any, Any]):
    """A call with one request and any number of responses."""


class StreamUnaryCall(_StreamRequest, _UnaryResponse, grpc.aio.StreamUnaryCall[Any, Any]):
    """A call with any number of requests and one response."""


class StreamStreamCall(_StreamRequest, _StreamResponse, grpc.aio.StreamStreamCall[Any, Any]):
    """A call with any number of requests and responses, each side at its own pace."""


def _debug_error_string(status: Status) -> str:
    return "" if status.code is grpc.StatusCode.OK else f"{status.code.name}:{status.details}"
