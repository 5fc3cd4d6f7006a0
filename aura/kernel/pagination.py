"""Pages by keyset: a token holds where the last page ended, sealed and bound to its query."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from aura.kernel.errors import FieldViolation, InvalidArgument
from aura.kernel.security.keys import KeyRing
from aura.kernel.security.sealing import Sealer

DEFAULT_PAGE_SIZE = 50
MAXIMUM_PAGE_SIZE = 1000

Position = list[Any]
"""Where a page ended: the sort keys of its last item, in a form that JSON has."""

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Item]):
    """A page of a list, and the position after which the next one begins; None if this is the last."""

    items: Sequence[Item]
    end: Position | None

    @classmethod
    def cut(cls, found: Sequence[Item], *, size: int, key: Callable[[Item], Position]) -> Page[Item]:
        """Returns the page made of `found`, which holds one item more than `size` if there is a next page."""
        return cls(items=found[:size], end=key(found[size - 1]) if len(found) > size else None)


class PageTokenInvalid(InvalidArgument):
    """A page token is damaged, or belongs to another query or another caller."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__(
            "page_token does not belong to this query; send the same query with the token, or leave the token out",
            violations=[FieldViolation(field="page_token", description="does not belong to this query")],
        )


def page_size_of(requested: int, *, default: int = DEFAULT_PAGE_SIZE, maximum: int = MAXIMUM_PAGE_SIZE) -> int:
    """Returns how many items a page holds: `default` where nothing was asked for, `maximum` at most (AIP-158)."""
    return min(requested or default, maximum)


class PageTokens:
    """Seals positions into page tokens and opens them again (AES-256-GCM)."""

    def __init__(self, keys: KeyRing) -> None:
        self._sealer = Sealer(keys.key("page-tokens"))

    def seal(self, position: Position | None, *, request: Message, actor: str) -> str:
        """Returns the token that continues `request` after `position`, for this actor only; none at the end."""
        if position is None:
            return ""
        return _encoded(self._sealer.seal(json.dumps(position).encode(), context=_query(request, actor)))

    def open(self, *, request: Message, actor: str) -> Position | None:
        """Returns the position in the request's `page_token`; None if it has none.

        Raises:
            PageTokenInvalid: The token is not one that `seal` gave for this query and actor.
        """
        token: str = request.page_token  # type: ignore[attr-defined] # each list request has one
        if not token:
            return None
        try:
            data = base64.urlsafe_b64decode(token.encode())
            if _encoded(data) != token:  # base64 may spell the same bytes in more than one way
                raise PageTokenInvalid
            opened = self._sealer.open(data, context=_query(request, actor))
        except ValueError:
            raise PageTokenInvalid from None
        position: Position = json.loads(opened)
        return position


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _query(request: Message, actor: str) -> bytes:
    """Returns a digest of all that must be alike from page to page: everything but the page's size and token."""
    query = type(request)()
    query.CopyFrom(request)
    query.ClearField("page_token")
    query.ClearField("page_size")
    content = query.SerializeToString(deterministic=True)
    return hashlib.sha256(f"{query.DESCRIPTOR.full_name}\0{actor}\0".encode() + content).digest()
