"""Messages that wait to be sent; what they say is sealed."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update

from aura.kernel.database import Execute, fields_of
from aura.users.models.mail import QueuedMail, mail_queue_table

_MAIL = mail_queue_table.c


class MailQueueRepository:
    """The messages, in PostgreSQL."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def add(self, mail: QueuedMail) -> None:
        """Adds a message."""
        await self._execute(insert(mail_queue_table), vars(mail))

    async def get(self, mail_id: UUID) -> QueuedMail | None:
        """Returns a message; None if it was sent."""
        rows = await self._execute(select(mail_queue_table).where(_MAIL.mail_id == mail_id))
        return _to_mail(rows[0]) if rows else None

    async def note_attempt(self, mail_id: UUID, attempts: int) -> None:
        """Stores how often a message was tried to be sent."""
        await self._execute(update(mail_queue_table).where(_MAIL.mail_id == mail_id).values(attempts=attempts))

    async def forget_expired(self, now: datetime) -> None:
        """Deletes the messages that are of no use any more, and which nothing asks to send."""
        await self._execute(delete(mail_queue_table).where(_MAIL.expire_time <= now))

    async def remove(self, mail_id: UUID) -> None:
        """Deletes a message."""
        await self._execute(delete(mail_queue_table).where(_MAIL.mail_id == mail_id))


def _to_mail(row: Any) -> QueuedMail:
    return QueuedMail(**fields_of(row))
