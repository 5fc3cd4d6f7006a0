"""What a process serves over HTTP, put together: the platform's methods as REST, and the pages beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import grpc

from aura.kernel.contracts import describe
from aura.kernel.gateway import BodyLimits, Gateway
from aura.kernel.gateway.docs_page import DOCS_PATHS
from aura.kernel.gateway.headers import Metadata
from aura.kernel.gateway.responses import json_bytes
from aura.kernel.http.application import (
    HttpApplication,
    alive_page,
    asset_page,
    home_page,
    metrics_page,
    ready_page,
    written_once,
)
from aura.kernel.http.protocol import HttpLimits
from aura.kernel.interceptors.rate_limit import Buckets
from aura.kernel.module import ModuleSpec
from aura.kernel.networks import network_of
from aura.kernel.openapi_document import platform_openapi
from aura.kernel.security.internal_identity import RESERVED_PREFIX
from aura.kernel.security.sources import BY_GATEWAY, Sources
from aura.kernel.settings import Settings

PATH_BYTES = 8192


def http_application(
    *,
    settings: Settings,
    specs: Mapping[str, ModuleSpec],
    services: Iterable[str],
    channel: grpc.aio.Channel,
    metrics: Callable[[], Awaitable[bytes]],
    is_ready: Callable[[], Awaitable[bool]],
) -> HttpApplication:
    """Returns what answers over HTTP.

    Args:
        settings: what the operator chose.
        specs: all modules of the platform.
        services: the full names of the services that can be called, whose contracts are loaded.
        channel: where they are called: in this process, which passes on what it does not host.
        metrics: gives the figures for Prometheus.
        is_ready: says whether this process should be sent requests.
    """
    gateway = Gateway(
        [describe(service) for service in services],
        lambda _: channel,
        limits=BodyLimits(size=settings.maximum_message_bytes, seconds=settings.request_seconds),
        metadata_bytes=settings.maximum_metadata_bytes,
        forged=(RESERVED_PREFIX,),
        origins=settings.origins,
        admit=_admission(settings),
    )
    pages = {"/metrics": metrics_page(metrics), "/healthz": alive_page, "/readyz": ready_page(is_ready)}
    if settings.serve_docs:
        pages |= {"": home_page, "/openapi.json": written_once(lambda: json_bytes(platform_openapi(specs)))}
        pages |= {path: asset_page(path) for path in DOCS_PATHS}
    return HttpApplication(gateway=gateway, pages=pages)


def _admission(settings: Settings) -> Callable[[Metadata], float]:
    """Returns what counts the requests of each network address, as calls are counted, before a body is read."""
    buckets = Buckets(settings.rate_limit_per_peer)
    sources = Sources(settings.proxies)

    def admit(metadata: Metadata) -> float:
        return buckets.take(network_of(sources.of("", metadata, {BY_GATEWAY: ()})))

    return admit


def http_limits(settings: Settings) -> HttpLimits:
    """Returns what a connection may take, which is what one that speaks gRPC may."""
    return HttpLimits(
        connections=settings.maximum_connections,
        header_bytes=settings.maximum_metadata_bytes + PATH_BYTES,
        header_seconds=settings.handshake_seconds,
    )
