"""Messages to users about their accounts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum


class MailKind(StrEnum):
    """What a message is about."""

    VERIFY_EMAIL = "VERIFY_EMAIL"
    RESET_PASSWORD = "RESET_PASSWORD"  # noqa: S105 a kind of message
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
