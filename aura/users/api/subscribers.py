"""Handles the module's own events."""

from __future__ import annotations

from uuid import UUID

from aura.users.services.mailing import MailSender
from generated.aura.users.v1.events_pb2 import MailQueued


class MailQueuedSubscriber:
    """Sends a message once the change that it tells of is committed."""

    def __init__(self, *, sender: MailSender) -> None:
        self._sender = sender

    async def handle(self, event: MailQueued) -> None:
        """Sends it."""
        await self._sender.send(UUID(event.mail_id))
