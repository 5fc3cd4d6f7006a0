"""What a process serves over HTTP: the gateway, its description, and what operators and balancers look at."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from aura.kernel.gateway import Gateway
from aura.kernel.gateway.responses import JSON_TYPE, json_bytes

READING = ("GET", "HEAD")
PLAIN_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


@dataclass(frozen=True, kw_only=True)
class Page:
    """An answer that is known as a whole."""

    body: bytes
    kind: str = JSON_TYPE
    status: HTTPStatus = HTTPStatus.OK
    headers: tuple[tuple[bytes, bytes], ...] = PLAIN_HEADERS


MakePage = Callable[[], Awaitable[Page]]


class HttpApplication:
    """Answers by ASGI.

    Args:
        gateway: what answers at all paths but those of the pages.
        pages: for each path what makes its page.
        folders: for beginnings of paths what makes the page of a path, if there is one.
    """

    def __init__(
        self,
        *,
        gateway: Gateway,
        pages: Mapping[str, MakePage],
        folders: Mapping[str, Callable[[str], Page | None]] | None = None,
    ) -> None:
        self._gateway = gateway
        self._pages = dict(pages)
        self._folders = dict(folders or {})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        page = await self._page(scope) if scope["type"] == "http" else None
        if page is None:
            await self._gateway(scope, receive, send)
            return
        headers = [
            *page.headers,
            (b"content-type", page.kind.encode()),
            (b"content-length", str(len(page.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": page.status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else page.body})

    async def _page(self, scope: Any) -> Page | None:
        path = scope["path"].rstrip("/")
        make = self._pages.get(path)
        folder = None if make else self._folders.get("/" + path[1:].partition("/")[0])
        if make is None and folder is None:
            return None
        if scope["method"] not in READING:
            return _only_read()
        return await make() if make else folder(path) if folder else None


def metrics_page(render: Callable[[], Awaitable[bytes]]) -> MakePage:
    """Returns what makes the page that Prometheus collects."""

    async def page() -> Page:
        return Page(body=await render(), kind=CONTENT_TYPE_LATEST)

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


def _only_read() -> Page:
    body = json_bytes({"code": 12, "message": f"this path takes {' and '.join(READING)} only", "details": []})
    return Page(
        body=body,
        status=HTTPStatus.METHOD_NOT_ALLOWED,
        headers=(*PLAIN_HEADERS, (b"allow", ", ".join(READING).encode())),
    )
