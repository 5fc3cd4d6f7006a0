"""Serves HTTP beside gRPC, in the same event loop: uvicorn, with bounds on what a connection may take."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import uvicorn
from google.rpc import code_pb2
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from aura.kernel.tls import HttpCertificates, TlsFiles

KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048
VERSIONS = ("1.1", "1.0")


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """What a connection may take.

    Attributes:
        connections: How many there may be at a time; more are closed at once.
        header_bytes: How long the first line and the headers of a request may be, together.
        header_seconds: How long they may take to arrive, from the connection on or after the answer before.
    """

    connections: int
    header_bytes: int
    header_seconds: float


class HttpServer:
    """Answers at a socket, in this process's event loop, until it is stopped.

    Args:
        bound: the socket.
        application: what answers, by ASGI.
        limits: what a connection may take.
        tls: the files that encrypt; None: plain text.

    Raises:
        TlsError: A file cannot be used.
    """

    def __init__(self, bound: socket.socket, application: Any, limits: HttpLimits, tls: TlsFiles | None = None) -> None:
        self._socket = bound
        certificates = HttpCertificates(tls) if tls else None
        self._config = uvicorn.Config(
            application,
            http=_protocol(limits),
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            ssl_context_factory=(lambda *_: certificates.context()) if certificates else None,
        )
        self._server = _Server(self._config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it answers at."""
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Begins to answer; from now on clients can connect."""
        self._socket.listen(BACKLOG)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self, grace: float) -> None:
        """Takes no more requests, lets answers that are under way end for `grace` seconds, and cancels the rest."""
        self._config.timeout_graceful_shutdown = max(round(grace), 1)
        self._server.should_exit = True
        if self._task:
            await self._task


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes no signals: the process stops this server with the others."""
        yield


def _protocol(limits: HttpLimits) -> type[HttpToolsProtocol]:
    """Returns uvicorn's protocol with limits; it is made by uvicorn, which gives it no more arguments."""

    class Bounded(_BoundedProtocol):
        bounds = limits

    return Bounded


class _BoundedProtocol(HttpToolsProtocol):
    """Refuses headers that are too long or too slow, and connections that are too many; explains itself in JSON."""

    bounds: HttpLimits
    _header_bytes = 0
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            transport.close()
            return
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        if self._header_timer is None:
            self._await_headers()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in VERSIONS or b"#" in self.url:
            raise ValueError  # as below
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Tells a client what it cannot do, and closes the connection; takes the place of uvicorn's plain text."""
        del msg
        if self.transport.is_closing():
            return
        if self._header_bytes > self.bounds.header_bytes:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            text = f"first line and headers may have at most {self.bounds.header_bytes} bytes"
        else:
            status, text = HTTPStatus.BAD_REQUEST, "this is no valid HTTP/1.1 request"
        self.transport.write(_answer(status, text))
        self.transport.close()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.bounds.header_bytes:
            raise ValueError  # the parser ends, and `send_400_response` is called

    def _await_headers(self) -> None:
        self._header_timer = self.loop.call_later(self.bounds.header_seconds, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_answer(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time"))
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def _answer(status: HTTPStatus, text: str) -> bytes:
    body = json.dumps({"code": code_pb2.INVALID_ARGUMENT, "message": text, "details": []}, separators=(",", ":"))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return (head + body).encode()
