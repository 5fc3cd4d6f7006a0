"""Serves HTTP beside gRPC: the figures that Prometheus collects."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import uvicorn
from prometheus_client.exposition import CONTENT_TYPE_LATEST

Metrics = Callable[[], Awaitable[bytes]]
METRICS_PATH = "/metrics"
READING = ("GET", "HEAD")
TEXT = "text/plain; charset=utf-8"


class HttpServer:
    """Answers at a socket, in this process's event loop, until it is stopped."""

    def __init__(self, bound: socket.socket, metrics: Metrics) -> None:
        self._socket = bound
        self._metrics = metrics
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            lifespan="off",
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it answers at."""
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Begins to answer."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Lets answers that are under way end, for a second."""
        self._server.should_exit = True
        if self._task:
            await self._task

    async def _answer(self, scope: Any, _: Any, send: Any) -> None:
        status, body, kind = HTTPStatus.NOT_FOUND, f"see {METRICS_PATH}\n".encode(), TEXT
        if scope["path"] == METRICS_PATH:
            status, body = HTTPStatus.METHOD_NOT_ALLOWED, b"may only be read\n"
            if scope["method"] in READING:
                status, body, kind = HTTPStatus.OK, await self._metrics(), CONTENT_TYPE_LATEST
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append((b"allow", ", ".join(READING).encode()))
        await send({"type": "http.response.start", "status": status.value, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes no signals: the process stops this server with the others."""
        yield
