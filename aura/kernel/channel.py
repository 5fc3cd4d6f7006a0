"""The channel on which modules call one another: what must cross a call crosses here, whatever lies below."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Self

import grpc

from aura.kernel.database import connection_held
from aura.kernel.interceptors.call import current_call
from aura.kernel.interceptors.request_id import REQUEST_ID_METADATA
from aura.kernel.rpc_status import from_rpc_error


class ConnectionHeld(RuntimeError):
    """A module called another while it held a database connection, which could exhaust the pool and block both."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} was called while a database connection is held; call before opening it")


class ModuleChannel(grpc.aio.Channel):
    """Wraps a channel: adds the request id and the remaining time, and raises errors by their canonical class."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a unary method."""
        return _UnaryUnary(method, self._channel.unary_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a method that answers with a stream."""
        return self._channel.unary_stream(method, *arguments, **options)

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a method that takes a stream."""
        return self._channel.stream_unary(method, *arguments, **options)

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Returns a callable for a method that takes and gives a stream."""
        return self._channel.stream_stream(method, *arguments, **options)

    async def close(self, grace: float | None = None) -> None:
        """Closes the channel below."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 gRPC's
        """Returns the state of the channel below."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Waits until the channel below leaves a state."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Waits until the channel below is ready."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _UnaryUnary:
    def __init__(self, method: str, multicallable: Any) -> None:
        self._method = method
        self._multicallable = multicallable

    def __call__(self, request: Any, *, timeout: float | None = None, metadata: Any = (), **options: Any) -> Any:
        if connection_held.get():
            raise ConnectionHeld(self._method)
        call = current_call.get()
        if call is not None:
            timeout = _shorter(timeout, call.context.time_remaining())
            metadata = (*metadata, (REQUEST_ID_METADATA, call.request_id))
        return _Call(self._multicallable(request, timeout=timeout, metadata=metadata, **options))


class _Call:
    """A call whose failure is raised as the error of its canonical class."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def _shorter(timeout: float | None, remaining: float | None) -> float | None:
    if timeout is None or remaining is None:
        return remaining if timeout is None else timeout
    return min(timeout, remaining)
