"""Writes a configuration by which Envoy does what the gateway does, in front of the processes of a topology."""

from __future__ import annotations

import base64
import ipaddress
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto
from google.rpc import code_pb2, error_details_pb2

from aura.kernel.access_table import KERNEL_SERVICES
from aura.kernel.contracts import describe, load_contract, service_names
from aura.kernel.module import ModuleSpec
from aura.kernel.settings import Settings, SettingsError
from aura.kernel.tls import TlsFiles
from aura.kernel.topology import Process, Topology, TopologyError, is_loopback

Json = dict[str, Any]

NAME = "envoy"
"""Envoy's name where a topology gives each process a certificate of its own."""

ANY_PROCESS = "any"
BUFFER = "envoy.filters.http.buffer"
FRAME_BYTES = 5
"""What gRPC writes before each message."""

CALL_SECONDS = 60.0
"""How long a unary call may take, if its caller does not say."""

CONNECT_SECONDS = 2.0
HEALTH_SECONDS = 2.0
PING_SECONDS = 30.0
MOST_HEADERS = 100
LEAST_CIRCUIT = 1024

CODE_OF_HTTP: Mapping[int, int] = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED,
    431: code_pb2.RESOURCE_EXHAUSTED,
    500: code_pb2.INTERNAL,
    501: code_pb2.UNIMPLEMENTED,
    502: code_pb2.UNAVAILABLE,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
}
"""What Envoy answers by itself, as `google.rpc.Status` says it."""

TEXT_OF_FAILURE = "the service cannot be reached; try again"
"""Said instead of Envoy's own texts, which tell how the platform looks inside."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """Where Envoy listens, and which certificates it shows.

    Attributes:
        host: The address that it listens at.
        port: The port.
        own: What encrypts the connections to it; None for plain ones.
        client: The certificate and key by which Aura knows it, where Aura asks for one.
    """

    host: str
    port: int
    own: tuple[Path, Path] | None = None
    client: tuple[Path, Path] | None = None


def envoy_config(settings: Settings, specs: Mapping[str, ModuleSpec], topology: Topology, front: Front) -> Json:
    """Returns the configuration for all services of the platform.

    Raises:
        SettingsError: What the settings say cannot be put into it.
        TopologyError: A certificate that it needs is not there.
    """
    homes: dict[str, str] = {}
    for module, spec in specs.items():
        load_contract(module)
        homes |= dict.fromkeys(service_names(module, spec), topology.host_of(module).name)
    services = [describe(name) for name in (*homes, *KERNEL_SERVICES)]
    return bootstrap(settings, services=services, homes=homes, topology=topology, front=front)


def pair_of(
    certificate_name: str, certificate: Path | None, key_name: str, key: Path | None
) -> tuple[Path, Path] | None:
    """Returns a certificate and its key, as the command line names them; None if it names neither.

    Raises:
        SettingsError: It names one of them only, or a file that is not there.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError(f"{certificate_name} and {key_name} go together: give both, or none")
    for name, path in ((certificate_name, certificate), (key_name, key)):
        if not path.is_file():
            raise SettingsError(f"{name}: there is no file {path}")
    return certificate, key


def write_config(config: Json, output: Path | None) -> None:
    """Writes a configuration as JSON, which Envoy reads from files named `….json`; to standard output by default.

    Raises:
        SettingsError: The file cannot be written.
    """
    text = json.dumps(config, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    if output.suffix != ".json":
        raise SettingsError(f"--output {output}: Envoy reads JSON from files named ….json only; name it so")
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--output: cannot write {output}: {error.strerror}") from None


def bootstrap(
    settings: Settings,
    *,
    services: Sequence[ServiceDescriptor],
    homes: Mapping[str, str],
    topology: Topology,
    front: Front,
) -> Json:
    """Returns a whole configuration: one listener, and a cluster for each process.

    Args:
        settings: the limits.
        services: what is to be reached.
        homes: the process that hosts a service; one that is not in it, any process answers for.
        topology: the processes.
        front: where Envoy listens.

    Raises:
        SettingsError: What the settings say cannot be put into it.
        TopologyError: A certificate that it needs is not there.
    """
    _require_encryption(front, settings)
    clusters = _Clusters(settings, topology, front)
    return {
        "static_resources": {
            "listeners": [_listener(settings, services, _routes(services, homes, topology), front)],
            "clusters": clusters.all(),
        },
        "overload_manager": {"resource_monitors": [_connection_limit(settings.maximum_connections)]},
    }


def file_set(services: Iterable[ServiceDescriptor]) -> FileDescriptorSet:
    """Returns the contracts of services with all that they import, and what errors are described with.

    Envoy does not start with a `response_body` that is no `google.api.HttpBody`: bindings that have one are left out.
    """
    files: dict[str, FileDescriptor] = {}
    for file in (*(service.file for service in services), error_details_pb2.DESCRIPTOR):
        _collect(file, files)
    made = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(made.file.add())
    for described in made.file:
        for service in described.service:
            for method in service.method:
                _keep_followable(method)
    return made


def _keep_followable(method: MethodDescriptorProto) -> None:
    if not method.options.HasExtension(annotations_pb2.http):
        return
    first = method.options.Extensions[annotations_pb2.http]
    rules = [HttpRule.FromString(rule.SerializeToString()) for rule in (first, *first.additional_bindings)]
    kept = [rule for rule in rules if not rule.response_body]
    if len(kept) == len(rules):
        return
    method.options.ClearExtension(annotations_pb2.http)
    if kept:
        del kept[0].additional_bindings[:]
        kept[0].additional_bindings.extend(kept[1:])
        method.options.Extensions[annotations_pb2.http].CopyFrom(kept[0])


def _collect(file: FileDescriptor, files: dict[str, FileDescriptor]) -> None:
    if file.name not in files:
        for dependency in file.dependencies:
            _collect(dependency, files)
        files[file.name] = file


def _require_encryption(front: Front, settings: Settings) -> None:
    if front.own is None and not is_loopback(front.host) and not settings.allow_plaintext:
        raise SettingsError(
            f"--host {front.host} is no loopback address, so others reach it: give --certificate and --key, or, behind "
            "a proxy of yours that encrypts, set AURA_ALLOW_PLAINTEXT=true"
        )


# ---- the listener


def _listener(settings: Settings, services: Sequence[ServiceDescriptor], routes: list[Json], front: Front) -> Json:
    chain: Json = {
        "filters": [
            _typed(
                "envoy.filters.network.http_connection_manager",
                "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                **_connection_manager(settings, services, routes),
            )
        ]
    }
    if front.own is not None:
        chain["transport_socket"] = _tls_socket("DownstreamTlsContext", _common_tls([front.own], ["h2", "http/1.1"]))
    return {
        "name": "aura",
        "address": _address(front.host, front.port),
        "per_connection_buffer_limit_bytes": settings.maximum_message_bytes,
        "filter_chains": [chain],
    }


def _connection_manager(settings: Settings, services: Sequence[ServiceDescriptor], routes: list[Json]) -> Json:
    return {
        "stat_prefix": "aura",
        "use_remote_address": True,
        # Only the transcoder looks at a path, and http.proto wants "%2F" to come through to it: a path that is made
        # plain before it would be another one. No process gets to see it, so there is nothing for `..` to get around.
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "max_request_headers_kb": settings.maximum_metadata_bytes // 1024,
        "common_http_protocol_options": {
            "idle_timeout": _seconds(settings.connection_idle_seconds),
            "max_connection_duration": _seconds(settings.connection_age_seconds),
            "max_headers_count": MOST_HEADERS,
        },
        "http2_protocol_options": {
            "max_concurrent_streams": settings.maximum_streams_per_connection,
            "initial_stream_window_size": 64 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "request_headers_timeout": _seconds(settings.handshake_seconds),
        "request_timeout": _seconds(_request_seconds(settings, services)),
        "stream_idle_timeout": _seconds(settings.connection_idle_seconds),
        "local_reply_config": {"mappers": list(_local_replies())},
        "http_filters": [
            # before anything is made of a body it has arrived, and is not too long; streams of gRPC pass (`_route`)
            _typed(
                BUFFER,
                "extensions.filters.http.buffer.v3.Buffer",
                max_request_bytes=settings.maximum_message_bytes,
            ),
            _typed(
                "envoy.filters.http.grpc_json_transcoder",
                "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
                **_transcoder(settings, services),
            ),
            _typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router"),
        ],
        "route_config": {"virtual_hosts": [{"name": "aura", "domains": ["*"], "routes": routes}]},
    }


def _request_seconds(settings: Settings, services: Sequence[ServiceDescriptor]) -> float:
    """Returns how long a request may take to arrive; 0, which is without end, if there are any that go on and on."""
    streams = any(method.client_streaming for service in services for method in service.methods)
    return 0 if streams else settings.request_seconds


def _transcoder(settings: Settings, services: Sequence[ServiceDescriptor]) -> Json:
    descriptors = file_set(services).SerializeToString(deterministic=True)
    return {
        "proto_descriptor_bin": base64.b64encode(descriptors).decode(),
        "services": [service.full_name for service in services],
        "print_options": {"always_print_primitive_fields": True, "stream_newline_delimited": True},
        "convert_grpc_status": True,
        # http.proto: a variable of several segments is decoded "except "%2F" and "%2f" are left unchanged"
        "url_unescape_spec": "ALL_CHARACTERS_EXCEPT_SLASH",
        "query_param_unescape_plus": True,
        "request_validation_options": {"reject_unknown_method": True, "reject_unknown_query_parameters": True},
        "max_request_body_size": settings.maximum_message_bytes,
        "max_response_body_size": settings.maximum_message_bytes + FRAME_BYTES,
    }


def _local_replies() -> Iterator[Json]:
    """Yields how Envoy's own answers look to who does not speak gRPC, as far as they have a form there."""
    for http_status, code in CODE_OF_HTTP.items():
        message = TEXT_OF_FAILURE if http_status >= 500 else "%LOCAL_REPLY_BODY%"  # noqa: PLR2004 HTTP's own line
        yield {
            "filter": {"and_filter": {"filters": [_status_is(http_status), _IS_REST]}},
            "body_format_override": {
                "json_format": {"code": code, "message": message, "details": []},
                "content_type": "application/json",
            },
        }


def _status_is(http_status: int) -> Json:
    value = {"default_value": http_status, "runtime_key": "aura.unused"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


_IS_REST: Json = {
    "or_filter": {
        "filters": [
            {
                "header_filter": {
                    "header": {
                        "name": "content-type",
                        "string_match": {"prefix": "application/grpc"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                }
            },
            {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}},
        ]
    }
}
"""A request that is no call of gRPC, or that the transcoder has made one of."""


def _connection_limit(connections: int) -> Json:
    return _typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=connections,
    )


# ---- routes


def _routes(services: Sequence[ServiceDescriptor], homes: Mapping[str, str], topology: Topology) -> list[Json]:
    """Returns the routes; what has become a call of gRPC, or has been one, goes to who hosts it, the rest nowhere."""
    rest = ANY_PROCESS if len(topology.processes) > 1 else next(iter(topology.processes))
    routes = [route for service in services for route in _routes_of(service, homes.get(service.full_name, rest))]
    # streams of reflection and health, whose contracts are not Aura's, go on as long as they like
    standard = _route({"prefix": "/grpc.", "grpc": {}}, rest, seconds=0)
    nothing = {"status": 404, "body": {"inline_string": "there is nothing at this path"}}
    return [
        *routes,
        standard,
        _route({"prefix": "/", "grpc": {}}, rest, seconds=CALL_SECONDS),
        {"match": {"prefix": "/"}, "direct_response": nothing},
    ]


def _routes_of(service: ServiceDescriptor, cluster: str) -> Iterator[Json]:
    for method in service.methods:
        if method.client_streaming or method.server_streaming:
            yield _route({"path": f"/{service.full_name}/{method.name}", "grpc": {}}, cluster, seconds=0)
    yield _route({"prefix": f"/{service.full_name}/", "grpc": {}}, cluster, seconds=CALL_SECONDS)


def _route(match: Json, cluster: str, *, seconds: float) -> Json:
    idle = {} if seconds else {"idle_timeout": "0s"}  # a stream without end may be silent for as long as it likes
    return {
        "match": match,
        "route": {
            "cluster": cluster,
            "timeout": _seconds(seconds),
            **idle,
            # only what has certainly not been begun is tried again
            "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 2},
        },
        "typed_per_filter_config": {BUFFER: _NOT_BUFFERED},
    }


_NOT_BUFFERED: Json = {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
    "disabled": True,
}


# ---- clusters


class _Clusters:
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
            "connect_timeout": _seconds(CONNECT_SECONDS),
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [self._endpoint(process) for process in processes]}],
            },
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": _HTTP_2},
            "circuit_breakers": {"thresholds": [{"max_requests": circuit, "max_pending_requests": circuit}]},
            "health_checks": [
                {
                    "timeout": _seconds(HEALTH_SECONDS),
                    "interval": _seconds(HEALTH_SECONDS),
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
        return {"endpoint": {"address": _address(_reached_at(process.host), process.port)}, "metadata": marks}

    def _encryption(self, process: Process, tls: TlsFiles) -> Json:
        validation: Json = {"trusted_ca": {"filename": str(tls.of(process.name).trusted.resolve())}}
        if not tls.by_settings:  # a certificate of the settings is trusted itself, whatever names it has
            kind = "IP_ADDRESS" if _is_address(process.host) else "DNS"
            validation["match_typed_subject_alt_names"] = [{"san_type": kind, "matcher": {"exact": process.host}}]
        common = {**_common_tls(self._shown(tls), ["h2"]), "validation_context": validation}
        sni = {} if _is_address(process.host) else {"sni": process.host}
        socket = _tls_socket("UpstreamTlsContext", common, **sni)
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


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _common_tls(shown: Iterable[tuple[Path, Path]], protocols: Sequence[str]) -> Json:
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": protocols,
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(certificate.resolve())},
                "private_key": {"filename": str(key.resolve())},
            }
            for certificate, key in shown
        ],
    }


def _tls_socket(context: str, common: Json, **more: object) -> Json:
    return _typed(
        "envoy.transport_sockets.tls",
        f"extensions.transport_sockets.tls.v3.{context}",
        common_tls_context=common,
        **more,
    )


def _typed(name: str, kind: str, **values: object) -> Json:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.{kind}", **values}}


def _seconds(seconds: float) -> str:
    return f"{seconds:g}s"
