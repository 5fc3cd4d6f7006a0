"""The client's way to a server in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio

from aura.kernel.inprocess.callables import (
    StreamStreamMultiCallable,
    StreamUnaryMultiCallable,
    UnaryStreamMultiCallable,
    UnaryUnaryMultiCallable,
)
from aura.kernel.inprocess.calls import LOCALLY_CANCELLED
from aura.kernel.inprocess.exchange import INVALID_METADATA, Exchange, Host
from aura.kernel.inprocess.interception import by_kind
from aura.kernel.inprocess.metadata import USER_AGENT, InvalidMetadataError, Metadatum, on_the_wire

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from aura.kernel.inprocess.context import Deserializer, Serializer
    from aura.kernel.inprocess.metadata import MetadataLike

AuthContext: TypeAlias = Mapping[str, Iterable[bytes]]


class InProcessChannel(grpc.aio.Channel):
    """A channel whose calls run in this process; made by `InProcessServer.channel`."""

    def __init__(
        self,
        server: Host,
        *,
        interceptors: Sequence[grpc.aio.ClientInterceptor],
        auth_context: Callable[[], AuthContext] | None,
        peer: str,
    ) -> None:
        self._server = server
        self._auth_context = auth_context
        self._peer = peer
        self._interceptors = by_kind(interceptors)
        self._active: set[Exchange] = set()
        self._connected = False
        self._closed = False
        self._state_waiters: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Refuse new calls, give those that run ``grace`` seconds and cancel the rest."""
        if self._closed:
            return
        if grace is not None and grace < 0:
            raise ValueError(f"grace must be non-negative, got {grace}.")
        self._closed = True
        self.state_changed()
        if grace and self._active:
            running = [asyncio.ensure_future(exchange.terminated()) for exchange in self._active]
            _, late = await asyncio.wait(running, timeout=grace)
            for waiting in late:
                waiting.cancel()
        for exchange in list(self._active):
            exchange.cancel(LOCALLY_CANCELLED)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002  as in grpc.aio
        """Return IDLE, READY, TRANSIENT_FAILURE (the server was stopped) or SHUTDOWN (the channel was closed)."""
        state = self._state()
        if try_to_connect and state is grpc.ChannelConnectivity.IDLE:
            self._connect()
        return state

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the state is another one."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        while self._state() is last_observed_state:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._state_waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._state_waiters:
                    self._state_waiters.remove(waiter)

    async def channel_ready(self) -> None:
        """Wait until calls can be made."""
        while (state := self.get_state(try_to_connect=True)) is not grpc.ChannelConnectivity.READY:
            await self.wait_for_state_change(state)

    def unary_unary(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool | None = None,  # noqa: FBT001  generated code says so
    ) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """Return a callable for a method with one request and one response."""
        return UnaryUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool | None = None,  # noqa: FBT001
    ) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        """Return a callable for a method with one request and a stream of responses."""
        return UnaryStreamMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_unary(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool | None = None,  # noqa: FBT001
    ) -> grpc.aio.StreamUnaryMultiCallable[Any, Any]:
        """Return a callable for a method with a stream of requests and one response."""
        return StreamUnaryMultiCallable(self, method, request_serializer, response_deserializer)

    def stream_stream(
        self,
        method: str,
        request_serializer: Serializer | None = None,
        response_deserializer: Deserializer | None = None,
        _registered_method: bool | None = None,  # noqa: FBT001
    ) -> grpc.aio.StreamStreamMultiCallable[Any, Any]:
        """Return a callable for a method with a stream each way."""
        return StreamStreamMultiCallable(self, method, request_serializer, response_deserializer)

    # For the callables and the server

    def interceptors_of(self, kind: type[grpc.aio.ClientInterceptor]) -> Sequence[Any]:
        """Return the interceptors of one kind, in order."""
        return self._interceptors[kind]

    def caller(self) -> AuthContext:
        """Return who makes the call that is being made, as the channel's owner says."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        return {} if self._auth_context is None else self._auth_context()

    def open(
        self,
        method: str,
        request: bytes | None,
        *,
        streams_responses: bool,
        timeout: float | None,
        metadata: MetadataLike | None,
        auth_context: AuthContext,
    ) -> Exchange:
        """Begin an exchange with the server; without a request, requests are streamed."""
        if self._closed:
            raise grpc.aio.UsageError("Channel is closed.")
        if not self._connected:
            self._connect()
        loop = asyncio.get_running_loop()
        self._server.bind(loop)
        problem = None
        sent: tuple[Metadatum, ...] = ()
        try:
            sent = on_the_wire(metadata)
        except InvalidMetadataError:
            problem = INVALID_METADATA
        exchange = Exchange(
            self._server,
            loop,
            method=method,
            metadata=(USER_AGENT, *sent),
            deadline=None if timeout is None else loop.time() + timeout,
            auth_context=auth_context,
            peer=self._peer,
            request=request,
            streams_responses=streams_responses,
        )
        if problem is not None:
            exchange.finish(problem)
        else:
            self._active.add(exchange)
            exchange.when_done(partial(self._active.discard, exchange))
        return exchange

    def state_changed(self) -> None:
        """Wake those who wait for another state."""
        waiters, self._state_waiters = self._state_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _connect(self) -> None:
        self._connected = True
        self.state_changed()

    def _state(self) -> grpc.ChannelConnectivity:
        if self._closed:
            return grpc.ChannelConnectivity.SHUTDOWN
        if self._server.is_stopping:
            return grpc.ChannelConnectivity.TRANSIENT_FAILURE
        return grpc.ChannelConnectivity.READY if self._connected else grpc.ChannelConnectivity.IDLE
