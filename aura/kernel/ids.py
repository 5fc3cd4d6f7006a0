"""Identifiers: UUID version 7 (RFC 9562), which sort by the time they were made."""

from __future__ import annotations

import uuid

import uuid_utils


def new_id() -> uuid.UUID:
    """Returns a new UUIDv7."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


def new_id_text() -> str:
    """Returns a new UUIDv7 as text."""
    return str(uuid_utils.uuid7())
