"""Reads the bodies of requests: within a time and a size, unpacked, and line by line where they are streams."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aura.kernel.gateway.headers import RequestHeaders
from aura.kernel.gateway.refusals import BadRequest, BodyOverdue, BodyTooLarge, TooManyBodies, UnsupportedMediaType
from aura.kernel.gateway.responses import JSON_TYPE, LINES_TYPE

Receive = Callable[[], Awaitable[Any]]
Take = Callable[[int], None]

_JSON_TYPES = frozenset({JSON_TYPE, LINES_TYPE, "application/jsonl", "text/json"})
_GZIP = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 256 * 1024


class Disconnected(Exception):
    """The client is gone."""


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """What bodies may take.

    Attributes:
        size: The bytes of one at most, when unpacked; of a stream, those of each line.
        seconds: How long one may take to arrive; of a stream, each line.
        together: The bytes of all that are being read at a time.
    """

    size: int
    seconds: float
    together: int = 256 * 1024 * 1024


class BodyRoom:
    """What all bodies that are being read take together.

    Args:
        limit: the bytes that they may take.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @contextmanager
    def lent(self) -> Iterator[Take]:
        """Lends room for one body; what takes of it raises TooManyBodies where there is none."""
        own = 0

        def take(size: int) -> None:
            nonlocal own
            if self._taken + size > self._limit:
                raise TooManyBodies
            self._taken += size
            own += size

        try:
            yield take
        finally:
            self._taken -= own


def require_json(headers: RequestHeaders) -> None:
    """Sees that the body is JSON. Where the type is not said, it is taken for it.

    Raises:
        UnsupportedMediaType: It is something else.
    """
    kind, _, parameters = headers.get("content-type").partition(";")
    kind = kind.strip().lower()
    if kind and kind not in _JSON_TYPES and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType("the body must be JSON; send Content-Type: application/json")
    charset = parameters.lower().partition("charset=")[2].strip(' "')
    if charset and charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType("the body must be UTF-8")
    if headers.get("content-encoding").lower() not in {"", "identity", "gzip"}:
        raise UnsupportedMediaType("the body may be compressed by gzip only")


async def read_body(receive: Receive, headers: RequestHeaders, limits: BodyLimits, take: Take) -> bytes:
    """Returns the whole body, unpacked.

    Raises:
        Refusal: It is too large, does not come in time, or is not packed as it says; or there is no room for it.
        Disconnected: The client is gone.
    """
    length = headers.get("content-length")
    if length.isdecimal() and int(length) > limits.size:
        raise BodyTooLarge(limits.size)
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in _plain(receive, headers, limits.size):
                size += len(part)
                if size > limits.size:
                    raise BodyTooLarge(limits.size)
                take(len(part))
                parts.append(part)
    except TimeoutError:
        raise BodyOverdue from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def read_lines(receive: Receive, headers: RequestHeaders, limits: BodyLimits) -> AsyncIterator[bytes]:
    """Yields the lines of a body, unpacked, without those that are empty.

    Raises:
        Refusal: A line is too large or does not come in time, or the body is not packed as it says.
        Disconnected: The client is gone.
    """
    parts, rest, more = aiter(_plain(receive, headers, limits.size)), bytearray(), True
    while more:
        end, looked = rest.find(b"\n"), len(rest)
        try:
            async with asyncio.timeout(limits.seconds):
                while end < 0 and len(rest) <= limits.size and (part := await anext(parts, None)) is not None:
                    rest += part
                    end, looked = rest.find(b"\n", looked), len(rest)
        except TimeoutError:
            raise BodyOverdue from None
        more = end >= 0
        end = end if more else len(rest)
        if end > limits.size:
            raise BodyTooLarge(limits.size)
        line = bytes(rest[:end])
        del rest[: end + 1]
        if line.strip():
            yield line


async def _plain(receive: Receive, headers: RequestHeaders, limit: int) -> AsyncIterator[bytes]:
    """Yields the parts of a body as they come, unpacked if they are packed."""
    if headers.get("content-encoding").lower() != "gzip":
        async for part in _parts(receive):
            yield part
        return
    unpacker, fruitless = zlib.decompressobj(_GZIP), 0
    async for part in _parts(receive):
        packed, fruitless = part, fruitless + len(part)
        if fruitless > limit:  # what is compressed may be of nothing, without an end
            raise BodyTooLarge(limit)
        while packed:
            try:
                plain = unpacker.decompress(packed, _PIECE_BYTES)
            except zlib.error:
                raise BadRequest("the body is not compressed by gzip, as its Content-Encoding says") from None
            if unpacker.unused_data or (unpacker.eof and not plain):
                raise BadRequest("the body goes on behind what is compressed by gzip")
            packed = unpacker.unconsumed_tail
            if plain:
                fruitless = 0
                yield plain
    if not unpacker.eof:
        raise BadRequest("the body ends within what is compressed by gzip")


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = message.get("more_body", False)
        if part := message.get("body"):
            yield bytes(part)
