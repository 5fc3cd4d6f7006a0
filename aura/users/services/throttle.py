"""Keeps strangers from guessing: on every path alike, for each account and for each network address."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.clock import Clock
from aura.kernel.networks import network_of
from aura.kernel.security.actor import Actor
from aura.users.errors import TooManyAttempts, TooManyLogins
from aura.users.models.throttle import Limit
from aura.users.models.user import search_key
from aura.users.repositories.throttles import ThrottleRepository

ACCOUNT = Limit(attempts=10, pause=timedelta(minutes=15))
"""NIST SP 800-63B-4, 3.2.2 allows 100 in a row. The pause ends by itself: a stranger locks nobody out for long."""
SOURCE = Limit(attempts=100, pause=timedelta(minutes=15))
MAIL = Limit(attempts=5, pause=timedelta(hours=1))


class Counted(StrEnum):
    """What is counted for each account by itself: who locks one of these leaves the others to its owner."""

    CREDENTIALS = "account"
    MAILED_CODES = "code"
    VERIFICATION_MAILS = "mail/verify"
    RESET_MAILS = "mail/reset"


class Throttle:
    """Counts the attempts of a call's source at an account. Whether the account exists makes no difference."""

    def __init__(self, *, throttles: ThrottleRepository, audit_trail: AuditTrail, clock: Clock, actor: Actor) -> None:
        self._throttles = throttles
        self._audit_trail = audit_trail
        self._clock = clock
        self._source = f"source/{network_of(actor.source)}" if actor.source else ""

    @asynccontextmanager
    async def attempt(self, email: str, counted: Counted = Counted.CREDENTIALS) -> AsyncIterator[bool]:
        """Counts what is done inside as an attempt at an account; yields whether it may be made.

        It counts before it is made, and goes on counting if it fails; `succeeded` and `take_back` are for the others.
        One that could not be looked at does not count.

        Raises:
            TooManyAttempts: The source is locked out of all accounts; that locks no account.
        """
        await self.require_source()
        is_admitted = await self._admit(_key(counted, email), ACCOUNT)
        try:
            yield is_admitted
        except TooManyLogins:
            await self.take_back(email, counted)
            raise

    async def succeeded(self, email: str, counted: Counted = Counted.CREDENTIALS) -> None:
        """Forgets the attempts at an account, for the last one was its owner's."""
        await self._throttles.forget(_key(counted, email))
        await self.forgive_source()

    async def take_back(self, email: str, counted: Counted = Counted.CREDENTIALS) -> None:
        """Forgets one attempt, which was right as far as it went, but no failure before it."""
        await self._throttles.take_back(_key(counted, email))
        await self.forgive_source()

    async def require_source(self) -> None:
        """Counts what a source asks for.

        Raises:
            TooManyAttempts: It asks for too much.
        """
        if not self._source:
            return
        attempts = await self._throttles.count(self._source, SOURCE, self._clock.now())
        if attempts == SOURCE.attempts:
            await self._audit_trail.write_alone(AuditEntry(action="source.locked"))
        if attempts > SOURCE.attempts:
            raise TooManyAttempts(SOURCE.pause)

    async def forgive_source(self) -> None:
        """Forgets one attempt of the source, which was right."""
        if self._source:
            await self._throttles.take_back(self._source)

    async def may_mail(self, email: str, counted: Counted) -> bool:
        """Counts a message to an address; returns whether it may be sent."""
        return await self._admit(_key(counted, email), MAIL)

    async def _admit(self, key: str, limit: Limit) -> bool:
        return await self._throttles.count(key, limit, self._clock.now()) <= limit.attempts


def _key(counted: Counted, email: str) -> str:
    """Names what is counted without keeping the address."""
    return f"{counted}/{hashlib.sha256(search_key(email).encode()).hexdigest()}"
