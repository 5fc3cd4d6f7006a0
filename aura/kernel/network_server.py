"""The gRPC server that the network reaches, and what it grants to each connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import grpc

from aura.kernel.interceptors.chain import Handler, InterceptorChain
from aura.kernel.interceptors.first_message import FirstMessage
from aura.kernel.interceptors.metadata_limit import MetadataLimit
from aura.kernel.listening import AddressInUse, require_free
from aura.kernel.tls import ServerCertificates, TlsFiles
from aura.kernel.topology import Process

SHORTEST_PING_INTERVAL_MILLISECONDS = 5_000  # processes ping one another every 20 s
KEEPALIVE_MILLISECONDS = 60_000
KEEPALIVE_TIMEOUT_MILLISECONDS = 20_000
"""How long a peer may leave a ping unanswered: one that vanished, or that reads nothing, is let go."""

AGE_GRACE_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class NetworkLimits:
    """What the network may take of this process, whatever the calls are.

    Attributes:
        connections: How many there may be at a time; more are closed at once.
        streams: How many calls a connection may have under way; a client keeps more to itself until there is room.
        metadata_bytes: How much metadata a call may come with.
        message_bytes: How long a message may be.
        handshake_seconds: How long a connection may take until it speaks gRPC.
        request_seconds: How long the request of a unary call may take to arrive.
        idle_seconds: How long a connection may be without a call.
        age_seconds: How old a connection may become before its client is told to make another.
    """

    connections: int
    streams: int
    metadata_bytes: int
    message_bytes: int
    handshake_seconds: float
    request_seconds: float
    idle_seconds: float
    age_seconds: float

    @property
    def options(self) -> list[tuple[str, int]]:
        """The limits as gRPC takes them."""
        return [
            ("grpc.max_allowed_incoming_connections", self.connections),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.http.overload_protection", 0),  # it refuses streams to clients that keep to the limit, too
            ("grpc.max_metadata_size", self.metadata_bytes),
            ("grpc.absolute_max_metadata_size", self.metadata_bytes),
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_send_message_length", -1),  # its receiver refuses what is too long, as in one process
            ("grpc.server_handshake_timeout_ms", _milliseconds(self.handshake_seconds)),
            ("grpc.max_connection_idle_ms", _milliseconds(self.idle_seconds)),
            ("grpc.max_connection_age_ms", _milliseconds(self.age_seconds)),
            ("grpc.max_connection_age_grace_ms", _milliseconds(AGE_GRACE_SECONDS)),
        ]


class NetworkServer(grpc.aio.Server):
    """grpc.aio's server, with a chain of interceptors around every call; it is not bound to any address yet.

    grpc.aio waits for the calls of each registered method by a future, and looks at the futures of all methods for each
    call; interceptors of its own cost each call a coroutine. So it gets neither, but one generic handler.
    """

    def __init__(self, chain: InterceptorChain, limits: NetworkLimits) -> None:
        self._methods = _Methods(chain, limits)
        self._server = grpc.aio.server(
            handlers=(self._methods,),
            options=[
                *limits.options,
                ("grpc.so_reuseport", 0),  # otherwise a second server on the port would go unnoticed
                ("grpc.http2.min_ping_interval_without_data_ms", SHORTEST_PING_INTERVAL_MILLISECONDS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
                ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MILLISECONDS),
            ],
        )

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Serves what these handlers know."""
        self._methods.generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Serves these methods; they come before generic handlers."""
        self._methods.registered.update({f"/{service_name}/{name}": each for name, each in method_handlers.items()})

    def add_insecure_port(self, address: str) -> int:
        """Listens at an address; returns the port."""
        return self._server.add_insecure_port(address)

    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        """Listens at an address, with TLS; returns the port."""
        return self._server.add_secure_port(address, server_credentials)

    async def start(self) -> None:
        """Begins to serve."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Takes no new calls, lets those under way end for `grace` seconds, and cancels the rest."""
        await self._server.stop(grace)

    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        """Waits until the server has stopped; returns whether `timeout` seconds passed before that."""
        return await self._server.wait_for_termination(timeout)


class _Methods(grpc.GenericRpcHandler):
    """Finds the handler of a call: that of its method, with around it what it has to pass, wrapped once."""

    def __init__(self, chain: InterceptorChain, limits: NetworkLimits) -> None:
        self.registered: dict[str, Handler] = {}
        self.generic: list[grpc.GenericRpcHandler] = []
        self._chain = chain
        self._metadata_limit = MetadataLimit(limits.metadata_bytes)
        self._first_message = FirstMessage(limits.request_seconds)
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Returns the handler of a call; None if nobody knows its method."""
        refusal = self._metadata_limit.refusal(handler_call_details.invocation_metadata or ())
        if refusal is not None:
            return refusal
        path: str = handler_call_details.method
        handler = self.registered.get(path) or self._find(handler_call_details)
        if handler is None:
            return None
        known = self._wrapped.get(path)
        if known is None or known[0] is not handler:
            known = self._wrapped[path] = (handler, self._first_message.before(self._chain.around(path, handler)))
        return known[1]

    def _find(self, details: grpc.HandlerCallDetails) -> Handler | None:
        for handlers in self.generic:
            found = handlers.service(details)
            if found is not None:
                return found
        return None


def bind(server: grpc.aio.Server, process: Process, tls: TlsFiles | None, *, by_topology: bool) -> int:
    """Has a server listen at the address of a process, with the certificates that it shows; returns the port.

    Raises:
        AddressInUse: The port is taken.
        AddressNotHere: The address is none of this machine's.
        TlsError: A certificate cannot be used.
    """
    credentials = ServerCertificates(tls.of(process.name)).credentials() if tls else None
    require_free(process.host, process.port, by_topology=by_topology)
    try:
        if credentials is None:
            return server.add_insecure_port(process.address)
        return server.add_secure_port(process.address, credentials)
    except RuntimeError:
        raise AddressInUse(host=process.host, port=process.port, by_topology=by_topology) from None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
