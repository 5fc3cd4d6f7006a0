"""The keys that access tokens are signed with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text

from aura.users.models.user import metadata


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """A key pair for Ed25519.

    Attributes:
        sealed_private_key: The private half, sealed.
        activate_time: From when on tokens are signed with it; it is published before.
        retire_time: From when on it verifies none any more; None as long as it is the newest.
    """

    key_id: str
    public_key: bytes
    sealed_private_key: bytes
    activate_time: datetime
    retire_time: datetime | None = None


signing_keys_table = Table(
    "signing_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary, nullable=False),
    Column("activate_time", DateTime(timezone=True), nullable=False),
    Column("retire_time", DateTime(timezone=True)),
)
