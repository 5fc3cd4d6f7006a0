"""Which process a call is sent to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.descriptor import ServiceDescriptor

from aura.kernel.envoy.wording import Json, duration
from aura.kernel.gateway.gateway import CALL_SECONDS
from aura.kernel.topology import Topology

ANY_PROCESS = "any"
BUFFER = "envoy.filters.http.buffer"


def routes(services: Sequence[ServiceDescriptor], homes: Mapping[str, str], topology: Topology) -> list[Json]:
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
            "timeout": duration(seconds),
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
