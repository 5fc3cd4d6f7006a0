"""A gRPC server that is reached without a network."""

from __future__ import annotations

import asyncio
import itertools
import logging
import weakref
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from aura.kernel.inprocess.channel import InProcessChannel
from aura.kernel.inprocess.eager import start_now
from aura.kernel.inprocess.exchange import Exchange, Status
from aura.kernel.inprocess.serving import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

_LOGGER = logging.getLogger(__name__)
_BURST = 32
_STOPPED = Status(
    grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: UNKNOWN: inprocess: server stopped"
)
_CANCELLED_BY_STOP = Status(grpc.StatusCode.UNAVAILABLE, "Cancelling all calls")


class InProcessServer(grpc.aio.Server):
    """Serves calls that are made in the same process and event loop, as grpc.aio's server does over a socket.

    It serves from the start; `start` is there for those who treat all servers alike. Handlers may be added at any time.

    Args:
        interceptors: run in this order around every call.
        maximum_message_bytes: what is longer, either way, ends its call with RESOURCE_EXHAUSTED.
        thread_pool: where servicer methods run that are plain functions; None is the event loop's own.
    """

    def __init__(
        self,
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        maximum_message_bytes: int = 4 * 1024 * 1024,
        thread_pool: Executor | None = None,
    ) -> None:
        for interceptor in interceptors:
            if not isinstance(interceptor, grpc.aio.ServerInterceptor):
                raise ValueError(f"Interceptor must be a ServerInterceptor, this is not: {interceptor!r}")  # noqa: TRY004  as grpc.aio
        self.maximum_message_bytes = maximum_message_bytes
        self.overruns = 0
        """How many handlers went on for a second or more after their call was over and they had been cancelled."""
        self._interceptors = tuple(interceptors)
        self._thread_pool = thread_pool
        self._methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._generic_handlers: list[grpc.GenericRpcHandler] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handlers: dict[Exchange, asyncio.Task[None] | None] = {}
        self._channels: weakref.WeakSet[InProcessChannel] = weakref.WeakSet()
        self._channel_numbers = itertools.count(1)
        self._burst = 0
        self._stopping = False
        self._stopped = asyncio.Event()

    def channel(
        self,
        *,
        interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        auth_context: Callable[[], Mapping[str, Iterable[bytes]]] | None = None,
    ) -> InProcessChannel:
        """Return a channel to this server, for use with generated stubs.

        Args:
            interceptors: client interceptors of any of the four kinds, in the order in which they are to run.
            auth_context: called in the caller's context when a call is made; the servicer's ``context.auth_context()``
                returns what it gave, so that who calls never travels in metadata.
        """
        channel = InProcessChannel(
            self, interceptors=interceptors, auth_context=auth_context, peer=f"inprocess:{next(self._channel_numbers)}"
        )
        self._channels.add(channel)
        return channel

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Serve what these handlers know."""
        self._generic_handlers.extend(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Serve these methods; they come before generic handlers."""
        for name, handler in method_handlers.items():
            self._methods[f"/{service_name}/{name}"] = handler

    def add_insecure_port(self, address: str) -> NoReturn:
        """Raise UsageError."""
        raise grpc.aio.UsageError(f"An in-process server has no port; it cannot listen on {address}.")

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> NoReturn:  # noqa: ARG002
        """Raise UsageError."""
        raise grpc.aio.UsageError(f"An in-process server has no port; it cannot listen on {address}.")

    async def start(self) -> None:
        """Do nothing, or raise UsageError once the server was stopped."""
        if self._stopping:
            raise grpc.aio.UsageError("Server not in ready state")

    async def stop(self, grace: float | None) -> None:
        """Refuse new calls, give those that run ``grace`` seconds, cancel the rest and wait for every handler.

        May be called again with less grace. A handler that ignores its cancellation is logged, and waited for.
        """
        if not self._stopping:
            self._stopping = True
            for channel in list(self._channels):
                channel.state_changed()
        if grace:
            await self._wait_for_handlers(grace)
        for exchange in list(self._handlers):
            exchange.finish(_CANCELLED_BY_STOP)
        await self._wait_for_handlers(None)
        self._stopped.set()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Wait until the server has stopped; return True if ``timeout`` seconds passed before that."""
        try:
            await asyncio.wait_for(self._stopped.wait(), timeout)
        except TimeoutError:
            return True
        return False

    # For channels and exchanges

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve this event loop only; it is that of the first call. Raises RuntimeError in another."""
        if self._loop is None:
            self._loop = loop
        elif loop is not self._loop:
            raise RuntimeError("An in-process server serves one event loop, that of its first call.")

    def accept(self, exchange: Exchange) -> None:
        """Start handling a call."""
        if self._stopping:
            exchange.finish(_STOPPED)
            return
        self._handlers[exchange] = None
        handling = serve(exchange, self._find_handler, self._interceptors, self._thread_pool)
        handler = start_now(handling, exchange.loop, Context())
        if exchange in self._handlers:
            self._handlers[exchange] = handler
            exchange.handled_by(handler)

    def release(self, exchange: Exchange) -> None:
        """Forget a call whose handler has returned."""
        del self._handlers[exchange]

    def gives_way(self) -> bool:
        """Return whether, after so many calls that began at once, it is time to let other tasks run."""
        self._burst = (self._burst + 1) % _BURST
        return self._burst == 0

    def count_overrun(self, exchange: Exchange) -> None:
        """Take note that a handler ignores that its call is over."""
        self.overruns += 1
        _LOGGER.warning("The handler of %s still runs after its call is over", exchange.method)

    def _find_handler(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = self._methods.get(details.method)
        if handler is None:
            for generic in self._generic_handlers:
                handler = generic.service(details)
                if handler is not None:
                    break
        return handler

    async def _wait_for_handlers(self, timeout: float | None) -> None:
        running = [handler for handler in self._handlers.values() if handler is not None]
        if running:
            await asyncio.wait(running, timeout=timeout)
