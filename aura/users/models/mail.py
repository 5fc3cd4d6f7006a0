"""Messages to users about their accounts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Column, DateTime, Integer, LargeBinary, Table, Uuid

from aura.users.models.user import metadata


class MailKind(StrEnum):
    """What a message is about."""

    VERIFY_EMAIL = "VERIFY_EMAIL"
    RESET_PASSWORD = "RESET_PASSWORD"  # noqa: S105 a kind of message
    CHANGE_EMAIL = "CHANGE_EMAIL"
    EMAIL_CHANGED = "EMAIL_CHANGED"
    ACCOUNT_EXISTS = "ACCOUNT_EXISTS"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 likewise


@dataclass(frozen=True, kw_only=True)
class AccountMail:
    """A message to be sent: to which address, what about, and with which code, if any."""

    kind: MailKind
    email: str
    code: str = ""

    def to_bytes(self) -> bytes:
        """Returns it in the form that is sealed and stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> AccountMail:
        """Returns what `to_bytes` made bytes of."""
        fields = json.loads(data)
        return cls(**{**fields, "kind": MailKind(fields["kind"])})


@dataclass(frozen=True, kw_only=True)
class QueuedMail:
    """A message, how often it was tried to be sent, and until when it is worth it."""

    mail_id: UUID
    sealed: bytes
    attempts: int
    expire_time: datetime


mail_queue_table = Table(
    "mail_queue",
    metadata,
    Column("mail_id", Uuid, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
)
