"""The processes of a topology, as Envoy reaches them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path

from aura.kernel.envoy.front import Front
from aura.kernel.envoy.routes import ANY_PROCESS
from aura.kernel.envoy.wording import Json, address, common_tls, duration, tls_socket
from aura.kernel.settings import Settings, SettingsError
from aura.kernel.tls import TlsFiles
from aura.kernel.topology import Process, Topology, TopologyError

NAME = "envoy"
"""Envoy's name where a topology gives each process a certificate of its own."""

CONNECT_SECONDS = 2.0
HEALTH_SECONDS = 2.0
PING_SECONDS = 30.0
LEAST_CIRCUIT = 1024


class Clusters:
    """Makes them, with what the settings and the topology say of limits and encryption."""

    def __init__(self, settings: Settings, topology: Topology, front: Front) -> None:
        self._settings = settings
        self._topology = topology
        self._front = front

    def all(self) -> list[Json]:
        """Returns a cluster for each process, and, if there are several, one of all of them."""
        processes = list(self._topology.processes.values())
        several = [self._cluster(ANY_PROCESS, processes)] if len(processes) > 1 else []
        return [*(self._cluster(process.name, [process]) for process in processes), *several]

    def _cluster(self, name: str, processes: Sequence[Process]) -> Json:
        circuit = max(LEAST_CIRCUIT, 2 * self._settings.maximum_concurrent_calls)  # Aura refuses by itself before that
        cluster = {
            "name": name,
            "type": "STATIC" if all(_is_address(process.host) for process in processes) else "STRICT_DNS",
            "connect_timeout": duration(CONNECT_SECONDS),
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [self._endpoint(process) for process in processes]}],
            },
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _HTTP_2},
            "circuit_breakers": {"thresholds": [{"max_requests": circuit, "max_pending_requests": circuit}]},
            "health_checks": [
                {
                    "timeout": duration(HEALTH_SECONDS),
                    "interval": duration(HEALTH_SECONDS),
                    "unhealthy_threshold": 2,
                    "healthy_threshold": 1,
                    "grpc_health_check": {},
                }
            ],
        }
        if self._topology.tls is not None:
            cluster["transport_socket_matches"] = [
                self._encryption(process, self._topology.tls) for process in processes
            ]
        return cluster

    def _endpoint(self, process: Process) -> Json:
        if not process.port:
            raise SettingsError("AURA_PORT=0 takes a free port, which Envoy cannot know; name one")
        marks = {"filter_metadata": {"envoy.transport_socket_match": {"process": process.name}}}
        return {"endpoint": {"address": address(_reached_at(process.host), process.port)}, "metadata": marks}

    def _encryption(self, process: Process, tls: TlsFiles) -> Json:
        validation: Json = {"trusted_ca": {"filename": str(tls.of(process.name).trusted.resolve())}}
        if not tls.by_settings:  # a certificate of the settings is trusted itself, whatever names it has
            kind = "IP_ADDRESS" if _is_address(process.host) else "DNS"
            validation["match_typed_subject_alt_names"] = [{"san_type": kind, "matcher": {"exact": process.host}}]
        common = {**common_tls(self._shown(tls), ["h2"]), "validation_context": validation}
        sni = {} if _is_address(process.host) else {"sni": process.host}
        socket = tls_socket("UpstreamTlsContext", common, **sni)
        return {"name": process.name, "match": {"process": process.name}, "transport_socket": socket}

    def _shown(self, tls: TlsFiles) -> list[tuple[Path, Path]]:
        """Returns the certificate that Envoy shows to Aura, with its key; none where nobody asks for one."""
        if not tls.mutual:
            return []
        if self._front.client is not None:
            return [self._front.client]
        own = tls.of(NAME)
        if tls.by_settings or not (own.certificate.is_file() and own.key.is_file()):
            raise TopologyError(
                "Aura asks who calls it for a certificate: give --client-certificate and --client-key"
                + ("" if tls.by_settings else f", or put them to {own.certificate} and {own.key}")
            )
        return [(own.certificate, own.key)]


_HTTP_2: Json = {
    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
    "explicit_http_config": {
        "http2_protocol_options": {
            "connection_keepalive": {"interval": f"{PING_SECONDS}s", "timeout": f"{2 * CONNECT_SECONDS}s"}
        }
    },
}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _reached_at(host: str) -> str:
    """Returns where a server is reached that listens at an address: the loopback one if it listens at all of them."""
    if _is_address(host) and ipaddress.ip_address(host).is_unspecified:
        return "::1" if ":" in host else "127.0.0.1"
    return host
