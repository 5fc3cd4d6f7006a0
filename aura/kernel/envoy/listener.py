"""What Envoy does with a request before it sends it on."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from google.protobuf.descriptor import ServiceDescriptor

from aura.kernel.envoy.contracts import file_set
from aura.kernel.envoy.front import Front
from aura.kernel.envoy.replies import local_replies
from aura.kernel.envoy.routes import BUFFER
from aura.kernel.envoy.wording import Json, address, common_tls, duration, tls_socket, typed
from aura.kernel.settings import Settings

FRAME_BYTES = 5
"""What gRPC writes before each message."""

MOST_HEADERS = 100


def listener(settings: Settings, services: Sequence[ServiceDescriptor], routes: list[Json], front: Front) -> Json:
    """Returns where requests come in: what bounds them, transcodes them and routes them."""
    chain: Json = {
        "filters": [
            typed(
                "envoy.filters.network.http_connection_manager",
                "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                **_connection_manager(settings, services, routes),
            )
        ]
    }
    if front.own is not None:
        chain["transport_socket"] = tls_socket("DownstreamTlsContext", common_tls([front.own], ["h2", "http/1.1"]))
    return {
        "name": "aura",
        "address": address(front.host, front.port),
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
            "idle_timeout": duration(settings.connection_idle_seconds),
            "max_connection_duration": duration(settings.connection_age_seconds),
            "max_headers_count": MOST_HEADERS,
        },
        "http2_protocol_options": {
            "max_concurrent_streams": settings.maximum_streams_per_connection,
            "initial_stream_window_size": 64 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "request_headers_timeout": duration(settings.handshake_seconds),
        "request_timeout": duration(_request_seconds(settings, services)),
        "stream_idle_timeout": duration(settings.connection_idle_seconds),
        "local_reply_config": {"mappers": list(local_replies())},
        "http_filters": [
            # before anything is made of a body it has arrived, and is not too long; streams of gRPC pass (`_route`)
            typed(
                BUFFER,
                "extensions.filters.http.buffer.v3.Buffer",
                max_request_bytes=settings.maximum_message_bytes,
            ),
            typed(
                "envoy.filters.http.grpc_json_transcoder",
                "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
                **_transcoder(settings, services),
            ),
            typed("envoy.filters.http.router", "extensions.filters.http.router.v3.Router"),
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
