"""Metadata as the wire would carry it: checked, normalised and copied."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import grpc.aio

MetadataLike: TypeAlias = "grpc.aio.Metadata | Sequence[tuple[str, str | bytes]]"

_KEY = re.compile(r"[a-z0-9_.-]+")
_OF_THE_TRANSPORT = frozenset(
    {
        "connection",
        "content-type",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-message",
        "grpc-status",
        "grpc-timeout",
        "host",
        "te",
        "user-agent",
    }
)


class Metadatum(NamedTuple):
    """One pair; binary (``-bin``) keys carry bytes, all others str."""

    key: str
    value: str | bytes


class InvalidMetadataError(ValueError):
    """A key or a value that no header can carry."""


USER_AGENT = Metadatum("user-agent", f"grpc-python-asyncio/{grpc.__version__} (inprocess)")


def on_the_wire(metadata: Iterable[tuple[str, str | bytes]] | None) -> tuple[Metadatum, ...]:
    """Return what the peer receives of ``metadata``: keys that belong to the transport are dropped.

    Raises InvalidMetadataError for what a header cannot carry and TypeError for values of the wrong type.
    """
    if not metadata:
        return ()
    return tuple([_checked(key, value) for key, value in metadata if key not in _OF_THE_TRANSPORT])


def _checked(key: str, value: str | bytes) -> Metadatum:
    if not _is_legal(key):
        raise InvalidMetadataError(f"illegal metadata key {key!r}")
    if key[-4:] == "-bin":
        if not isinstance(value, bytes):
            raise TypeError(f'Binary metadata key="{key}" expected bytes, got {type(value)}')
        return Metadatum(key, value)
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not isinstance(text, str):
        raise TypeError(f"Expected str, not {type(text)}")
    if not (text.isascii() and text.isprintable()):
        raise InvalidMetadataError(f"illegal value of metadata key {key!r}")
    return Metadatum(key, text)


@lru_cache(maxsize=1024)
def _is_legal(key: str) -> bool:
    return _KEY.fullmatch(key) is not None
