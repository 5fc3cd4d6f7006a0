"""Serves HTTP beside gRPC, in the same event loop: uvicorn, with bounds on what a connection may take."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from aura.kernel.http.protocol import HttpLimits, protocol_with
from aura.kernel.tls import HttpCertificates, TlsFiles

KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048


class HttpServer:
    """Answers at a socket, in this process's event loop, until it is stopped.

    Args:
        bound: the socket.
        application: what answers, by ASGI; if it has a method `stop`, that ends what would go on for long.
        limits: what a connection may take.
        tls: the files that encrypt; None: plain text.

    Raises:
        TlsError: A file cannot be used.
    """

    def __init__(self, bound: socket.socket, application: Any, limits: HttpLimits, tls: TlsFiles | None = None) -> None:
        self._socket = bound
        self._end_streams: Callable[[], None] = getattr(application, "stop", lambda: None)
        certificates = HttpCertificates(tls) if tls else None
        self._config = uvicorn.Config(
            application,
            http=protocol_with(limits),
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
        self._server = _Server(self._config, limits.header_seconds)
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
        self._end_streams()
        self._config.timeout_graceful_shutdown = max(round(grace), 1)
        self._server.should_exit = True
        if self._task:
            await self._task


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, handshake_seconds: float) -> None:
        super().__init__(config)
        self._handshake_seconds = handshake_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, in uvicorn's place, which knows no time for handshakes."""
        config, encrypted = self.config, self.config.ssl is not None
        protocol: Any = config.http_protocol_class
        make = partial(protocol, config=config, server_state=self.server_state, app_state={})
        self.servers = [
            await asyncio.get_running_loop().create_server(
                make,
                sock=bound,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=self._handshake_seconds if encrypted else None,
            )
            for bound in sockets or ()
        ]
        self.started = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Takes no signals: the process stops this server with the others."""
        yield
