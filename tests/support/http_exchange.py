"""HTTP requests as they are, byte for byte: nothing about a path or a body is put right on its way."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

import h11

SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request; `target` is the path and query as they go over the wire."""

    verb: str
    target: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    status: int
    body: bytes
    headers: dict[str, str] = field(repr=False)


async def exchange(port: int, request: HttpRequest, encryption: ssl.SSLContext | None = None) -> HttpAnswer:
    """Sends a request to a port of this machine, on a connection of its own; returns the answer."""
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=encryption)
        try:
            connection = h11.Connection(h11.CLIENT)
            writer.write(_written(connection, request))
            return await _read(connection, reader)
        finally:
            writer.close()


def _written(connection: h11.Connection, request: HttpRequest) -> bytes:
    headers = [("host", "127.0.0.1"), ("connection", "close"), *request.headers]
    if request.body is not None:
        if "content-type" not in dict(headers):
            headers.append(("content-type", "application/json"))
        headers.append(("content-length", str(len(request.body))))
    head = h11.Request(method=request.verb, target=request.target, headers=headers)
    events: list[h11.Event] = [head, *([h11.Data(data=request.body)] if request.body else []), h11.EndOfMessage()]
    return b"".join(connection.send(event) or b"" for event in events)


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> HttpAnswer:
    head, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    assert head is not None, "the connection ended without an answer"
    return HttpAnswer(
        status=head.status_code, body=body, headers={name.decode(): value.decode() for name, value in head.headers}
    )
