"""What the module keeps so that people can prove who they are."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Boolean, Column, DateTime, Integer, LargeBinary, Table, Text, Uuid

from aura.users.models.user import Role, UserState, metadata

REGISTRATION_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(minutes=10)
"""How long a code is good for that was sent by mail (OWASP ASVS 5.0, 6.5.5)."""

CODE_BYTES = 20
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 15  # 120 bits: enough to be kept as a plain hash (OWASP ASVS 5.0, 6.5.2)
GROUP = 4


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """How a user proves who they are.

    Attributes:
        password_hash: As argon2 writes it; empty if none was set yet.
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
    sealed_totp_secret: bytes | None
    totp_enabled: bool
    totp_step: int

    @property
    def active(self) -> bool:
        """Whether the account is in use."""
        return self.state is UserState.ACTIVE


@dataclass(frozen=True, kw_only=True)
class Registration:
    """An account that was asked for, and is created once its address is known to be its owner's."""

    email: str
    display_name: str
    password_hash: str
    code_hash: bytes
    expire_time: datetime


def new_code() -> str:
    """Returns a code to be sent by mail: 160 random bits in base32."""
    return b32encode(secrets.token_bytes(CODE_BYTES)).decode()


def new_recovery_codes() -> list[str]:
    """Returns ten codes for when the authenticator app is lost, in groups that can be read aloud."""
    return [_grouped(b32encode(secrets.token_bytes(RECOVERY_CODE_BYTES)).decode()) for _ in range(RECOVERY_CODES)]


def hash_of(code: str) -> bytes:
    """Returns what is kept of a code: its SHA-256, however it was grouped and spelt. It is too long to guess."""
    return hashlib.sha256(code.replace("-", "").replace(" ", "").upper().encode()).digest()


def is_code(code: str, code_hash: bytes) -> bool:
    """Returns whether a code is the one that was kept, in a time that does not depend on it."""
    return hmac.compare_digest(hash_of(code), code_hash)


def _grouped(text: str) -> str:
    return "-".join(text[index : index + GROUP] for index in range(0, len(text), GROUP))


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

registrations_table = Table(
    "registrations",
    metadata,
    Column("email_key", Text(collation="C"), primary_key=True),
    Column("email", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("code_hash", LargeBinary, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
)

reset_codes_table = Table(
    "reset_codes",
    metadata,
    Column("email_key", Text(collation="C"), primary_key=True),
    Column("code_hash", LargeBinary, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
)
