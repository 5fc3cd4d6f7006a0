"""The answer to one request, as it goes back over HTTP."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeAlias

import structlog
from google.rpc import status_pb2

from aura.kernel.gateway.bodies import Disconnected
from aura.kernel.gateway.headers import RequestHeaders
from aura.kernel.gateway.refusals import Refusal
from aura.kernel.gateway.responses import (
    HTTP_STATUS,
    JSON_TYPE,
    LINES_TYPE,
    error_line,
    headers_of_status,
    json_bytes,
    json_of_status,
)
from aura.kernel.gateway.router import HEAD

Send = Callable[[Any], Awaitable[None]]
Headers: TypeAlias = list[tuple[str, str]]

COMPRESSED_FROM = 1024
COMPRESSION = 5
SECURITY_HEADERS: Headers = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
]
WHERE_ENCRYPTED: Headers = [("strict-transport-security", "max-age=31536000")]
WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

log = structlog.get_logger()

_ENCODED = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS]
_TAKES_GZIP = re.compile(r"(?:^|,)\s*(?:x-gzip|gzip|\*)\s*(?:$|,|;\s*q=(?:1|0\.0{0,2}[1-9]))", re.IGNORECASE)


class Answer:
    """Writes the answer to one request.

    Args:
        send: writes to the client, as ASGI has it.
        verb: the request's HTTP method.
        headers: the request's headers.
        common: headers that every answer to it has.

    Attributes:
        started: Whether the client has got a status already.
        body_is_read: Whether nothing of the request's body is left; otherwise the connection ends with the answer.
    """

    def __init__(self, send: Send, verb: str, headers: RequestHeaders, common: Headers) -> None:
        self._send, self._verb, self._headers = send, verb, headers
        self._common = common
        self.started = False
        self.body_is_read = True

    async def send(self, status: int, body: bytes, headers: Headers, kind: str = JSON_TYPE) -> None:
        """Sends a whole answer."""
        if len(body) >= COMPRESSED_FROM:
            headers.append(("vary", "accept-encoding"))
            if _TAKES_GZIP.search(self._headers.get("accept-encoding")):
                body = await asyncio.to_thread(gzip.compress, body, COMPRESSION)
                headers.append(("content-encoding", "gzip"))
        if status not in WITHOUT_BODY:
            headers.append(("content-type", kind))
            headers.append(("content-length", str(len(body))))
        await self._start(status, headers)
        await self._write({"type": "http.response.body", "body": b"" if self._verb == HEAD else body})

    async def begin(self, headers: Headers) -> None:
        """Begins an answer that is a stream of lines."""
        await self._start(HTTPStatus.OK, [*headers, ("content-type", LINES_TYPE), ("x-accel-buffering", "no")])

    async def line(self, line: bytes) -> None:
        """Sends a line; waits while the client does not read."""
        await self._write({"type": "http.response.body", "body": line, "more_body": True})

    async def end(self) -> None:
        """Ends the stream."""
        await self._write({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: Refusal) -> None:
        """Says why the gateway does not take the request."""
        log.info("request refused", http_status=int(refusal.http_status), reason=refusal.reason)
        await self.fail(refusal.status, [*refusal.headers.items()], refusal.http_status)

    async def fail(self, status: status_pb2.Status, headers: Headers, http_status: int | None = None) -> None:
        """Says how a call failed."""
        if self.started:
            await self.line(error_line(status))
            await self.end()
            return
        headers += headers_of_status(status, with_token=bool(self._headers.get("authorization")))
        code = http_status or HTTP_STATUS.get(status.code, HTTPStatus.INTERNAL_SERVER_ERROR)
        await self.send(code, json_bytes(json_of_status(status)), headers)

    async def _start(self, status: int, headers: Headers) -> None:
        if not self.body_is_read:
            headers.append(("connection", "close"))
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in (*headers, *self._common)]
        await self._write({"type": "http.response.start", "status": int(status), "headers": [*encoded, *_ENCODED]})
        self.started = True

    async def _write(self, message: Any) -> None:
        try:
            await self._send(message)
        except OSError:
            raise Disconnected from None
