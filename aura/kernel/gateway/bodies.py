"""Reads the bodies of requests: within a time and a size, unpacked, and line by line where they are streams."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aura.kernel.gateway.headers import RequestHeaders
from aura.kernel.gateway.refusals import BadRequest, BodyOverdue, BodyTooLarge, UnsupportedMediaType
from aura.kernel.gateway.responses import JSON_TYPE, LINES_TYPE

Receive = Callable[[], Awaitable[Any]]

_JSON_TYPES = frozenset({JSON_TYPE, LINES_TYPE, "application/jsonl", "text/json"})
_GZIP = 16 + zlib.MAX_WBITS


class Disconnected(Exception):
    """The client is gone."""


@dataclass(frozen=True, kw_only=True)
class BodyLimits:
    """What a body may take.

    Attributes:
        size: Its bytes at most, when unpacked; of a stream, those of each line.
        seconds: How long it may take to arrive; of a stream, each line.
    """

    size: int
    seconds: float


def has_body(headers: RequestHeaders) -> bool:
    """Returns whether a body follows the headers (RFC 9112, 6.3)."""
    return headers.get("content-length") not in {"", "0"} or bool(headers.get("transfer-encoding"))


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
        raise UnsupportedMediaType("the body may be packed by gzip only")


async def read_body(receive: Receive, headers: RequestHeaders, limits: BodyLimits) -> bytes:
    """Returns the whole body, unpacked.

    Raises:
        Refusal: It is too large, does not come in time, or is not packed as it says.
        Disconnected: The client is gone.
    """
    length = headers.get("content-length")
    if length.isdecimal() and int(length) > limits.size:
        raise BodyTooLarge(limits.size)
    unpack = _Unpacker(limits.size) if headers.get("content-encoding").lower() == "gzip" else None
    parts, size, came = [], 0, 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in _parts(receive):
                plain = unpack(part) if unpack else part
                size, came = size + len(plain), came + len(part)
                if max(size, came) > limits.size:  # what is packed may be of nothing, without an end
                    raise BodyTooLarge(limits.size)
                parts.append(plain)
    except TimeoutError:
        raise BodyOverdue from None
    if unpack:
        unpack.require_end()
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def read_lines(receive: Receive, headers: RequestHeaders, limits: BodyLimits) -> AsyncIterator[bytes]:
    """Yields the lines of a body, unpacked, without those that are empty.

    Raises:
        Refusal: A line is too large or does not come in time, or the body is not packed as it says.
        Disconnected: The client is gone.
    """
    unpack = _Unpacker(None) if headers.get("content-encoding").lower() == "gzip" else None
    rest = b""
    parts = aiter(_parts(receive))
    while True:
        try:
            async with asyncio.timeout(limits.seconds):
                part = await anext(parts, None)
        except TimeoutError:
            raise BodyOverdue from None
        if part is None:
            break
        *lines, rest = (rest + (unpack(part) if unpack else part)).split(b"\n")
        if max(map(len, [*lines, rest])) > limits.size:
            raise BodyTooLarge(limits.size)
        for line in lines:
            if line.strip():
                yield line
    if unpack:
        unpack.require_end()
    if rest.strip():
        yield rest


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = message.get("more_body", False)
        if part := message.get("body"):
            yield bytes(part)


class _Unpacker:
    """Unpacks gzip, as far as a size."""

    def __init__(self, limit: int | None) -> None:
        self._unpack = zlib.decompressobj(_GZIP)
        self._limit = limit

    def __call__(self, part: bytes) -> bytes:
        try:
            plain = self._unpack.decompress(part, (self._limit or 2**26) + 1)
        except zlib.error:
            raise BadRequest("the body is not packed by gzip, as its Content-Encoding says") from None
        if self._unpack.unconsumed_tail:
            raise BodyTooLarge(self._limit or 2**26)
        if self._unpack.unused_data:  # it would be kept, however much comes
            raise BadRequest("the body goes on behind what is packed by gzip")
        return plain

    def require_end(self) -> None:
        if not self._unpack.eof:
            raise BadRequest("the body ends within what is packed by gzip")
