"""HTTP/2 by hand, as clients speak it that no library would let be so rude."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE = 0x4
LARGEST_FRAME = 16_384
CANCEL = 0x8
PREFIX_OF_LENGTHS = 127  # what a length's first byte holds (RFC 7541, 5.1)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(values: Iterable[tuple[int, int]] = ()) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *each) for each in values))


def header_block(path: str, *more: tuple[str, str]) -> bytes:
    """Return the headers of a gRPC call, each as a literal that is not indexed (RFC 7541, 6.2.2)."""
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    )
    return b"".join(b"\x00" + _literal(name) + _literal(value) for name, value in headers)


def call(stream: int, block: bytes, *, end: bool = False) -> bytes:
    """Return the frames that begin a call, and end its requests if `end` holds."""
    first, rest = block[:LARGEST_FRAME], block[LARGEST_FRAME:]
    parts = [rest[at : at + LARGEST_FRAME] for at in range(0, len(rest), LARGEST_FRAME)]
    flags = END_STREAM if end else 0
    frames = [frame(HEADERS, flags | (0 if parts else END_HEADERS), stream, first)]
    for number, part in enumerate(parts, start=1):
        frames.append(frame(CONTINUATION, END_HEADERS if number == len(parts) else 0, stream, part))
    return b"".join(frames)


def message(stream: int, content: bytes, *, end: bool = False) -> bytes:
    """Return the frame of a message (gRPC over HTTP/2: a byte, a length, the content)."""
    return frame(DATA, END_STREAM if end else 0, stream, struct.pack(">BI", 0, len(content)) + content)


class Connection:
    """A connection that answers the server's SETTINGS and PINGs and passes over all else that it reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._answering: asyncio.Task[None] | None = None
        self._streams = iter(range(1, 2**31, 2))

    def next_stream(self) -> int:
        """Return the id of a stream that was not used yet."""
        return next(self._streams)

    async def greet(self, *values: tuple[int, int], answering: bool = True) -> None:
        """Send what a connection begins with."""
        await self.send(PREFACE + settings(values))
        if answering:
            self._answering = asyncio.create_task(self._answer())

    async def send(self, data: bytes) -> None:
        """Send bytes, as soon as the network takes them."""
        self._writer.write(data)
        await self._writer.drain()

    async def ended(self, seconds: float) -> bool:
        """Read until the server closes, or for some time; return whether it closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._reader.read(65_536):
                    pass
                return True
        return False

    async def close(self) -> None:
        """Close, whatever was under way."""
        if self._answering:
            self._answering.cancel()
        self._writer.transport.abort()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def read(self) -> tuple[int, int, int, bytes]:
        """Read a frame: its kind, flags, stream and payload.

        Raises:
            IncompleteReadError: The server has closed the connection.
        """
        head = await self._reader.readexactly(9)
        payload = await self._reader.readexactly(int.from_bytes(head[:3]))
        return head[3], head[4], int.from_bytes(head[5:]), payload

    async def _answer(self) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, flags, _, payload = await self.read()
                if kind in {SETTINGS, PING} and not flags & ACK:
                    await self.send(frame(kind, ACK, 0, payload if kind == PING else b""))


async def connect(address: str, source: str) -> Connection:
    """Return a connection from one of this machine's addresses."""
    host, _, port = address.rpartition(":")
    return Connection(*await asyncio.open_connection(host, int(port), local_addr=(source, 0)))


def _literal(text: str) -> bytes:
    data = text.encode()
    if len(data) < PREFIX_OF_LENGTHS:
        return bytes([len(data)]) + data
    rest, length = len(data) - PREFIX_OF_LENGTHS, [PREFIX_OF_LENGTHS]
    while rest >= 128:  # noqa: PLR2004 seven bits a byte
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes([*length, rest]) + data
