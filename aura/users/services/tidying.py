"""Forgets what is of no use any more."""

from __future__ import annotations

from datetime import timedelta

from aura.kernel.clock import Clock
from aura.users.repositories.codes import CodeRepository
from aura.users.repositories.login_sessions import LoginSessionRepository
from aura.users.repositories.mail_queue import MailQueueRepository
from aura.users.repositories.throttles import ThrottleRepository

SESSIONS_KEPT = timedelta(days=30)
"""How long ended sessions are kept, to be looked at after an incident."""


class Tidying:
    """Deletes expired codes and messages, counts of attempts that hold nobody back, and sessions long ended."""

    def __init__(
        self,
        *,
        codes: CodeRepository,
        mail_queue: MailQueueRepository,
        throttles: ThrottleRepository,
        sessions: LoginSessionRepository,
        clock: Clock,
    ) -> None:
        self._codes = codes
        self._mail_queue = mail_queue
        self._throttles = throttles
        self._sessions = sessions
        self._clock = clock

    async def run(self) -> None:
        """Deletes it."""
        now = self._clock.now()
        await self._codes.forget_expired(now)
        await self._mail_queue.forget_expired(now)
        await self._throttles.forget_expired(now)
        await self._sessions.forget_expired(now - SESSIONS_KEPT)
