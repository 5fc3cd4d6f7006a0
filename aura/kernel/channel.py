"""The channel on which modules call one another: what must cross a call crosses here, whatever lies below."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from operator import methodcaller
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import grpc

from aura.kernel.database import connection_held
from aura.kernel.interceptors.call import current_call
from aura.kernel.interceptors.request_id import REQUEST_ID_METADATA
from aura.kernel.security.internal_identity import RESERVED_PREFIX

Result = TypeVar("Result")
Metadata: TypeAlias = tuple[tuple[str, str | bytes], ...]
Translate: TypeAlias = Callable[[BaseException], BaseException]
"""Returns what to raise instead of an error; the error itself to let it be."""


class ConnectionHeld(RuntimeError):
    """A module called another while it held a database connection, which could exhaust the pool and block both."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} was called while a database connection is held; call before opening it")


class ReservedMetadata(ValueError):
    """A module tried to say by itself who is calling."""

    def __init__(self, key: str) -> None:
        super().__init__(f"metadata {key!r} is reserved: it begins with {RESERVED_PREFIX}; leave it out")


class Way(Protocol):
    """How calls get to where a module is hosted: in this process, or in another."""

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel that leads there."""
        ...

    def metadata(self, method: str) -> Metadata:
        """Returns what a call of a method carries besides its own metadata."""
        ...

    def watch(self, call: grpc.aio.Call, timeout: float | None) -> Translate:
        """Looks after a call that has just been made; returns what to make of its errors."""
        ...


class ModuleChannel(grpc.aio.Channel):
    """Wraps a channel: adds the request id, the trace, the caller and the remaining time; raises canonical errors."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a unary method."""
        return _Method(self._way, "unary_unary", method, arguments, options)

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a method that answers with a stream."""
        return _Method(self._way, "unary_stream", method, arguments, options)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a method that takes a stream."""
        return _Method(self._way, "stream_unary", method, arguments, options)

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a method that takes and gives a stream."""
        return _Method(self._way, "stream_stream", method, arguments, options)

    async def close(self, grace: float | None = None) -> None:
        """Does nothing: the channel below is the registry's, which closes it."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 gRPC's
        """Returns the state of the channel below."""
        return self._way.channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the channel below leaves a state."""
        await self._way.channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the channel below is ready."""
        await self._way.channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Method:
    """Makes calls of one method, of whichever kind, on the channel that its way has at the time."""

    def __init__(self, way: Way, kind: str, path: str, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
        self._way = way
        self._path = path
        self._make = methodcaller(kind, path, *arguments, **options)
        self._channel = way.channel
        self._made = self._make(self._channel)

    @property
    def _multicallable(self) -> Any:
        channel = self._way.channel
        if channel is not self._channel:
            self._channel, self._made = channel, self._make(channel)
        return self._made

    def __call__(  # noqa: PLR0917 as in grpc.aio
        self,
        request: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,  # noqa: FBT001
        compression: grpc.Compression | None = None,
        *,
        request_iterator: Any = None,
    ) -> TranslatedCall:
        if connection_held.get():
            raise ConnectionHeld(self._path)
        given = tuple(metadata or ())
        for key, _ in given:
            if key.lower().startswith(RESERVED_PREFIX):
                raise ReservedMetadata(key)
        carried = (*given, *self._way.metadata(self._path))
        call = current_call.get()
        if call is not None:
            timeout = shorter(timeout, call.context.time_remaining())
            carried = (*carried, (REQUEST_ID_METADATA, call.request_id), *(call.trace.metadata if call.trace else ()))
        made = self._multicallable(
            request if request_iterator is None else request_iterator,
            timeout=timeout,
            metadata=carried,
            credentials=credentials,
            wait_for_ready=wait_for_ready is not False,
            compression=compression,
        )
        return TranslatedCall(made, self._way.watch(made, timeout))


class TranslatedCall:
    """A call whose failures are raised as others; all else is as the call below has it."""

    def __init__(self, call: Any, translate: Translate) -> None:
        self._call = call
        self._translate = translate

    def __await__(self) -> Generator[Any, None, Any]:
        """Waits for the response."""
        return self._translated(self._call).__await__()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterates over the responses."""
        return _Responses(aiter(self._call), self._translated)

    async def read(self) -> Any:
        """Returns the next response, or grpc.aio.EOF after the last."""
        return await self._translated(self._call.read())

    async def write(self, request: Any) -> None:
        """Sends a request and waits until there is room for another."""
        await self._translated(self._call.write(request))

    async def done_writing(self) -> None:
        """Says that no request follows."""
        await self._translated(self._call.done_writing())

    async def wait_for_connection(self) -> None:
        """Waits as the call below does."""
        await self._translated(self._call.wait_for_connection())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    async def _translated(self, waiting: Awaitable[Result]) -> Result:
        try:
            return await waiting
        except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
            translated = self._translate(error)
            if translated is error:
                raise
            raise translated from error


class _Responses:
    def __init__(self, responses: AsyncIterator[Any], translated: Callable[[Awaitable[Any]], Awaitable[Any]]) -> None:
        self._responses = responses
        self._translated = translated

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._translated(anext(self._responses))


def shorter(timeout: float | None, remaining: float | None) -> float | None:
    """Returns the shorter of two times, of which None is without end."""
    if timeout is None or remaining is None:
        return remaining if timeout is None else timeout
    return min(timeout, remaining)
