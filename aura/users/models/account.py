"""What the module keeps so that people can prove who they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Column, DateTime, Integer, LargeBinary, Table, Text, Uuid

from aura.users.models.user import Role, UserState, metadata


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """How a user proves who they are.

    Attributes:
        password_hash: As argon2 writes it; empty if none was set yet.
        password_time: When it was set; hashing the same password with other parameters does not change it.
        sealed_totp_secret: The secret that the authenticator app shares, sealed; None if there is none.
        totp_enabled: Whether logging in takes a code too.
        totp_step: The last time step of which a code was used; earlier ones are not good any more.
    """

    user_id: UUID
    email: str
    display_name: str
    roles: tuple[Role, ...]
    state: UserState
    password_hash: str
    password_time: datetime | None
    sealed_totp_secret: bytes | None
    totp_enabled: bool
    totp_step: int

    @property
    def active(self) -> bool:
        """Whether the account is in use."""
        return self.state is UserState.ACTIVE


credentials_table = Table(
    "credentials",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("password_time", DateTime(timezone=True), nullable=False),
    Column("sealed_totp_secret", LargeBinary),
    Column("totp_enabled", Boolean, nullable=False),
    Column("totp_step", Integer, nullable=False),
)

recovery_codes_table = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True),
)
