"""The gRPC server that the network reaches, and what it grants to each connection."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

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


def network_server(chain: grpc.aio.ServerInterceptor, limits: NetworkLimits) -> grpc.aio.Server:
    """Returns a server that is not bound to any address yet, with a chain of interceptors around every call."""
    return grpc.aio.server(
        interceptors=[MetadataLimit(limits.metadata_bytes), FirstMessage(limits.request_seconds), chain],
        options=[
            *limits.options,
            ("grpc.so_reuseport", 0),  # otherwise a second server on the port would go unnoticed
            ("grpc.http2.min_ping_interval_without_data_ms", SHORTEST_PING_INTERVAL_MILLISECONDS),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MILLISECONDS),
        ],
    )


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
