"""HTTP/1.1 on one connection: uvicorn's protocol, with bounds on what a client may take, and no request out of turn."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from google.rpc import code_pb2
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

VERSIONS = ("1.1", "1.0")
QUEUED = 4
"""How many requests may come behind one that is not answered yet, in one packet with it."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 1024 * 1024
"""For how long, and how much, of a body that nobody reads is taken in, so that its client gets to read the answer."""
UNREAD_SECONDS = 60.0
"""How long a client may read nothing of what is sent to it."""

CODES = {
    HTTPStatus.BAD_REQUEST: code_pb2.INVALID_ARGUMENT,
    HTTPStatus.REQUEST_TIMEOUT: code_pb2.DEADLINE_EXCEEDED,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: code_pb2.RESOURCE_EXHAUSTED,
}


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """What a connection may take.

    Attributes:
        connections: How many there may be at a time; more are closed at once.
        header_bytes: How long the first line and the headers of a request may be, together.
        header_seconds: How long they may take to arrive, from the connection on, or from their first byte; and how long
            the handshake may take where the connection is encrypted.
    """

    connections: int
    header_bytes: int
    header_seconds: float


def protocol_with(limits: HttpLimits) -> type[HttpToolsProtocol]:
    """Returns uvicorn's protocol with limits; it is made by uvicorn, which gives it no more arguments."""

    class Bounded(BoundedProtocol):
        bounds = limits

    return Bounded


class Unexpected(ValueError):
    """Ends the parsing of what a client sends; `send_400_response` is called then."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses headers that are too long or too slow, and connections that are too many; explains itself in JSON.

    Requests are answered one at a time. What comes behind one that is not answered yet waits, unread by the parser.
    """

    bounds: HttpLimits
    _header_bytes = 0
    _in_headers = _ended = False
    _hosts = 0
    _running: RequestResponseCycle | None = None
    _held = b""
    _lingering: int | None = None
    _timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    # ---- the connection

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections:
            transport.close()
            return
        self._wait(self.bounds.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells whoever answers that the client is gone."""
        self._stop_waiting()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses what a client sends, or keeps it for later."""
        if self._lingering is not None:
            self._lingering += len(data)
            if self._lingering > LINGER_BYTES:
                self.transport.abort()
        elif self._ended:
            return
        elif self._is_answering() and self.cycle is not None and not self.cycle.more_body:
            self._held += data
            if len(self._held) > self.bounds.header_bytes:
                self.transport.abort()
        else:
            super().data_received(data)
            if self._is_idle() and self._timer is None and self.timeout_keep_alive_task is None:
                self._wait(self.bounds.header_seconds)  # what came was no request yet, as an empty line

    def pause_writing(self) -> None:
        """Lets a client go that reads nothing for too long."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Goes on."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
        super().resume_writing()

    # ---- a request

    def on_message_begin(self) -> None:
        """Begins to count; a request behind one that is being answered is not waited for yet."""
        super().on_message_begin()
        self._header_bytes = self._hosts = 0
        self._in_headers = True
        if self._timer is None and not self._is_answering():
            self._wait(self.bounds.header_seconds)

    def on_url(self, url: bytes) -> None:
        """Counts."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts; what stands behind a body (a trailer) is no header (RFC 9110, 6.5.1)."""
        self._count(len(name) + len(value))
        if self._in_headers:
            self._hosts += name.lower() == b"host"
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Sees that this is a request of ours, and in its turn."""
        version = self.parser.get_http_version()
        # RFC 9112, 3.2: a fragment is not sent, and a host is named exactly once
        if version not in VERSIONS or b"#" in self.url or (version != "1.0" and self._hosts != 1):
            raise Unexpected
        if self._is_answering() and len(self.pipeline) >= QUEUED:
            self.transport.abort()
            raise Unexpected
        self._in_headers = False
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Tells a client what it cannot do, and closes the connection; takes the place of uvicorn's plain text."""
        del msg
        if self._header_bytes > self.bounds.header_bytes:
            text = f"first line and headers may have at most {self.bounds.header_bytes} bytes"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, text)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no valid HTTP/1.1 request")

    # ---- an answer

    def on_response_complete(self) -> None:
        """Goes on with what came meanwhile, or waits for the next request."""
        super().on_response_complete()
        if self.transport.is_closing() or self._lingering is not None:
            return
        if self._running is not None and self._running.more_body:
            self.close_gently()
            return
        if self._in_headers:
            self._unset_keepalive_if_required()
            self._wait(self.bounds.header_seconds)
        if self._held and not self._is_answering():
            held, self._held = self._held, b""
            self.loop.call_soon(self._receive_held, held)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        cycle.transport = _Gentle(self)  # type: ignore[assignment] # the part of a transport that it uses
        super()._start_asgi_task(cycle, app)

    def close_gently(self) -> None:
        """Closes the connection behind an answer.

        What the client still sends of a body that nobody reads is taken in for a moment: otherwise the system would
        reset the connection, and the answer might get lost (RFC 9112, 9.6).
        """
        if self._running is not None and self._running.more_body and self._lingering is None:
            self._lingering = 0
            self.flow.resume_reading()
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self._wait(LINGER_SECONDS, self.transport.abort)
        elif self._lingering is None:
            self.transport.close()
            self._wait(UNREAD_SECONDS, self.transport.abort)

    # ---- inside

    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _is_idle(self) -> bool:
        return not self._is_answering() and not self.transport.is_closing() and self._lingering is None

    def _receive_held(self, held: bytes) -> None:
        if not self.transport.is_closing() and self.parser is not None:
            self.data_received(held)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.bounds.header_bytes:
            raise Unexpected

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """Answers in uvicorn's place and closes the connection; after the answer that is under way, if there is one."""
        self._ended = True
        if self.transport.is_closing() or self.parser is None:
            return
        if self._is_answering() and self._running is not None:
            self._running.keep_alive = False
            self.pipeline.clear()
        else:
            self.transport.write(_answer(status, text))
            self.transport.close()

    def _wait(self, seconds: float, then: Any = None) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, then or self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time")

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Gentle:
    """A transport, as far as an answer uses it: writes nothing where nobody listens any more, and closes gently."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        if not self.is_closing():
            self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        self._protocol.close_gently()


def _answer(status: HTTPStatus, text: str) -> bytes:
    body = json.dumps({"code": CODES[status], "message": text, "details": []}, separators=(",", ":"))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
        f"x-content-type-options: nosniff\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return (head + body).encode()
