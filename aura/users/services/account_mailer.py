"""What sends messages to users about their accounts."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from aura.users.models.mail import AccountMail


class MailNotSent(Exception):
    """The message could not be handed over now; later it may be, unless `is_final`."""

    def __init__(self, cause: str, *, is_final: bool = False) -> None:
        super().__init__(cause)
        self.is_final = is_final


class AccountMailer(Protocol):
    """Sends messages."""

    async def send(self, mail_id: UUID, mail: AccountMail) -> None:
        """Hands a message over to whoever delivers it.

        Args:
            mail_id: identifies the message, also if it is sent twice.
            mail: what it says.

        Raises:
            MailNotSent: Nobody took it.
        """
        ...
