"""What a process serves over HTTP: the gateway, its description, and what operators and balancers look at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from google.rpc import code_pb2
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aura.kernel.gateway import Gateway
from aura.kernel.gateway.docs_page import DOCS_HEADERS, docs_asset
from aura.kernel.gateway.responses import JSON_TYPE, json_bytes

READING = ("GET", "HEAD")
FRESH_SECONDS = 0.2
PLAIN_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


@dataclass(frozen=True, kw_only=True)
class Page:
    """An answer that is known as a whole."""

    body: bytes
    kind: str = JSON_TYPE
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[bytes, bytes], ...] = PLAIN_HEADERS
    etag: bytes = b""


log = structlog.get_logger()

MakePage = Callable[[], Awaitable[Page]]


class HttpApplication:
    """Answers by ASGI.

    Args:
        gateway: what answers at all paths but those of the pages.
        pages: for each path what makes its page.
    """

    def __init__(self, *, gateway: Gateway, pages: Mapping[str, MakePage]) -> None:
        self._gateway = gateway
        self._pages = dict(pages)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        make = self._pages.get(scope["raw_path"].decode("latin-1").rstrip("/")) if scope["type"] == "http" else None
        if make is None:
            await self._gateway(scope, receive, send)
            return
        page = await self._made(make) if scope["method"] in READING else _ONLY_READ
        if page.etag and (b"if-none-match", page.etag) in scope["headers"]:
            page = Page(body=b"", status=HTTPStatus.NOT_MODIFIED, headers=page.headers, etag=page.etag)
        headers = [*page.headers, (b"content-type", page.kind.encode())]
        headers += [(b"etag", page.etag)] if page.etag else []
        if page.status is not HTTPStatus.NOT_MODIFIED:
            headers.append((b"content-length", str(len(page.body)).encode()))
        await send({"type": "http.response.start", "status": page.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.body})

    def stop(self) -> None:
        """Ends what would go on for long."""
        self._gateway.stop()

    async def _made(self, make: MakePage) -> Page:
        try:
            return await make()
        except Exception:
            log.exception("a page failed")
            return _FAILED


def metrics_page(render: Callable[[], Awaitable[bytes]]) -> MakePage:
    """Returns what makes the page that Prometheus collects; who asks a moment later gets the same."""
    rendering: list[asyncio.Future[bytes]] = []

    async def page() -> Page:
        now = asyncio.get_running_loop().time()
        if not rendering or (rendering[0].done() and now >= fresh_until[0]):
            rendering[:] = [asyncio.ensure_future(render())]
            fresh_until[:] = [now + FRESH_SECONDS]
        return Page(body=await asyncio.shield(rendering[0]), kind=CONTENT_TYPE_LATEST)

    fresh_until = [0.0]

    return page


async def alive_page() -> Page:
    """Returns the page that says that this process runs."""
    return Page(body=json_bytes({"status": "SERVING"}))


def written_once(write: Callable[[], bytes]) -> MakePage:
    """Returns what makes a page that stays as it is, and takes long to write: when it is first asked for."""
    writing: list[asyncio.Task[bytes]] = []

    async def page() -> Page:
        if not writing or (writing[0].done() and (writing[0].cancelled() or writing[0].exception())):
            writing[:] = [asyncio.create_task(asyncio.to_thread(write))]
        return Page(body=await asyncio.shield(writing[0]))

    return page


def ready_page(is_ready: Callable[[], Awaitable[bool]]) -> MakePage:
    """Returns what makes the page that says whether this process should be sent requests."""

    async def page() -> Page:
        if await is_ready():
            return Page(body=json_bytes({"status": "SERVING"}))
        return Page(body=json_bytes({"status": "NOT_SERVING"}), status=HTTPStatus.SERVICE_UNAVAILABLE)

    return page


async def home_page() -> Page:
    """Returns what leads who comes with a browser to the page that describes everything."""
    return Page(body=b"", status=HTTPStatus.FOUND, headers=(*PLAIN_HEADERS, (b"location", b"/docs")))


def asset_page(path: str) -> MakePage:
    """Returns what makes a file of the page that describes everything."""
    headers = tuple((name.encode(), value.encode()) for name, value in DOCS_HEADERS.items())

    async def page() -> Page:
        asset = await asyncio.to_thread(docs_asset, path)
        assert asset is not None
        return Page(body=asset.body, kind=asset.content_type, headers=headers, etag=asset.etag.encode())

    return page


_FAILED = Page(
    body=json_bytes({"code": code_pb2.INTERNAL, "message": "an internal error occurred", "details": []}),
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
)
_ONLY_READ = Page(
    body=json_bytes({"code": code_pb2.UNIMPLEMENTED, "message": "this path takes GET and HEAD only", "details": []}),
    status=HTTPStatus.METHOD_NOT_ALLOWED,
    headers=(*PLAIN_HEADERS, (b"allow", b", ".join(each.encode() for each in READING)), (b"connection", b"close")),
)
