"""What of HTTP's headers is metadata of the call, and the reverse; grpc-gateway's conventions."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from aura.kernel.gateway.refusals import BadRequest, HeadersTooLarge
from aura.kernel.gateway.responses import STATUS_DETAILS

Metadata: TypeAlias = list[tuple[str, str | bytes]]

PREFIX, TRAILER_PREFIX = "grpc-metadata-", "grpc-trailer-"
PASSED_ON = frozenset({"authorization", "traceparent", "tracestate", "x-request-id"})
"""Headers that are metadata of the same name."""
RENAMED = {"user-agent": "grpcgateway-user-agent"}
FORWARDED_FOR = "x-forwarded-for"
REQUEST_ID = "x-request-id"
ENTRY_BYTES, RESERVED_BYTES = 32, 2048
LONGEST_TIMEOUT_SECONDS = 86_400.0
BINARY = "-bin"

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_KEY = re.compile(r"[a-z0-9_.-]+")
_OF_THE_TRANSPORT = frozenset({"connection", "content-type", "host", "te", "user-agent", FORWARDED_FOR})


class RequestHeaders:
    """The headers of a request, names in lower case.

    Args:
        headers: the pairs, as ASGI has them.
        forged: beginnings of metadata that nobody may bring in from outside.
    """

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], *, forged: Sequence[str] = ()) -> None:
        self._pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        self._forged = tuple(forged)
        self._by_name = dict(reversed(self._pairs))

    def get(self, name: str) -> str:
        """Returns the first value of a header; empty if it is not there."""
        return self._by_name.get(name, "")

    @property
    def has_body(self) -> bool:
        """Whether a body follows the headers (RFC 9112, 6.3)."""
        return self.get("content-length") not in {"", "0"} or bool(self.get("transfer-encoding"))

    def metadata(self, client: str, limit: int) -> Metadata:
        """Returns the metadata of the call.

        Args:
            client: the address of who sent the request.
            limit: how much there may be, as gRPC counts it (RFC 9113, 6.5.2), less what passing it on adds.

        Raises:
            BadRequest: A header cannot be metadata.
            HeadersTooLarge: There is too much.
        """
        made: Metadata = []
        forwarded = []
        for name, value in self._pairs:
            if name in PASSED_ON:
                made.append((name, _printable(name, value)))
            elif name == FORWARDED_FOR:
                forwarded.append(_printable(name, value))
            elif name in RENAMED:
                made.append((RENAMED[name], "".join(letter for letter in value if " " <= letter <= "~")))
            elif name.startswith(PREFIX):
                made.extend(self._given_by_hand(name.removeprefix(PREFIX), value))
        made.append((FORWARDED_FOR, ", ".join([*forwarded, client])))
        if sum(len(name) + len(value) + ENTRY_BYTES for name, value in made) > limit - RESERVED_BYTES:
            raise HeadersTooLarge(limit - RESERVED_BYTES)
        return made

    def timeout(self) -> float | None:
        """Returns how many seconds the caller waits, by `Grpc-Timeout`; None if it does not say.

        Raises:
            BadRequest: The header is not of gRPC's form, or leaves no time.
        """
        text = self.get("grpc-timeout")
        if not text:
            return None
        found = _TIMEOUT.fullmatch(text)
        if found is None or not int(found[1]):
            raise BadRequest(
                "Grpc-Timeout must be up to 8 digits, more than 0, and a unit: H, M, S, m, u or n, as 500m"
            )
        return min(int(found[1]) * _SECONDS[found[2]], LONGEST_TIMEOUT_SECONDS)

    def _given_by_hand(self, key: str, value: str) -> Iterator[tuple[str, str | bytes]]:
        if key.startswith(("grpc-", *self._forged)) or key in _OF_THE_TRANSPORT:
            return
        if not _KEY.fullmatch(key):
            raise BadRequest("a header Grpc-Metadata-… has a name that metadata cannot have")
        yield key, _binary(key, value) if key.endswith(BINARY) else _printable(f"{PREFIX}{key}", value)


def response_headers(initial: Iterable[tuple[str, str | bytes]], prefix: str) -> Iterator[tuple[str, str]]:
    """Yields the headers that tell a client of the metadata that its call answered with."""
    for key, value in initial:
        if key == REQUEST_ID and isinstance(value, str):
            yield key, value
        elif key != STATUS_DETAILS and not key.startswith("grpc-"):
            text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
            yield f"{prefix}{key}", text


def _printable(name: str, value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise BadRequest(f"the header {name} has characters that are not printable ASCII")
    return value


def _binary(key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"the header {PREFIX}{key} must be base64") from None
