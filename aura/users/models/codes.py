"""Codes that are sent by mail, what they are good for, and recovery codes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import b32encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, Uuid

from aura.users.models.user import metadata

REGISTRATION_LIFETIME = EMAIL_CHANGE_LIFETIME = timedelta(hours=24)
RESET_LIFETIME = timedelta(minutes=10)
"""How long a code is good for that was sent by mail (OWASP ASVS 5.0, 6.5.5)."""

CODE_BYTES = 20
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 15  # 120 bits: enough to be kept as a plain hash (OWASP ASVS 5.0, 6.5.2)
GROUP = 4


@dataclass(frozen=True, kw_only=True)
class Registration:
    """An account that was asked for, and is created once its address is known to be its owner's."""

    email: str
    display_name: str
    password_hash: str
    code_hash: bytes
    expire_time: datetime


@dataclass(frozen=True, kw_only=True)
class EmailChange:
    """An address that a user wants, and gets once it is known to be theirs."""

    user_id: UUID
    email: str
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


registrations_table = Table(
    "registrations",
    metadata,
    Column("email_key", Text(collation="C"), primary_key=True),
    Column("code_hash", LargeBinary, primary_key=True),
    Column("email", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
)

reset_codes_table = Table(
    "reset_codes",
    metadata,
    Column("email_key", Text(collation="C"), primary_key=True),
    Column("code_hash", LargeBinary, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
)

email_changes_table = Table(
    "email_changes",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("email", Text, nullable=False),
    Column("code_hash", LargeBinary, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
)
