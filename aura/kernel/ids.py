"""Identifiers: UUID version 7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

import uuid

import uuid_utils

TIME_SHIFT = 80  # a UUIDv7 begins with 48 bits of milliseconds


def new_id() -> uuid.UUID:
    """Returns a new UUIDv7."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


def first_id_at(seconds: float) -> uuid.UUID:
    """Returns an id that is not greater than any UUIDv7 made at a time, given in seconds since 1970, or later."""
    return uuid.UUID(int=max(0, int(seconds * 1000)) << TIME_SHIFT)


def new_id_text() -> str:
    """Returns a new UUIDv7 as text."""
    return str(uuid_utils.uuid7())
