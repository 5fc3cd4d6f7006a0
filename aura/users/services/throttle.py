"""Keeps strangers from guessing: on every path alike, for each account and for each network address."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from aura.kernel.clock import Clock
from aura.kernel.security.actor import Actor
from aura.users.errors import TooManyLogins
from aura.users.models.throttle import Limit
from aura.users.models.user import search_key
from aura.users.repositories.throttles import ThrottleRepository

ACCOUNT = Limit(attempts=10, pause=timedelta(minutes=15))
"""NIST SP 800-63B-4, 3.2.2 allows 100 in a row. The pause ends by itself: a stranger locks nobody out for long."""
SOURCE = Limit(attempts=100, pause=timedelta(minutes=15))
MAIL = Limit(attempts=5, pause=timedelta(hours=1))


class Throttle:
    """Counts the attempts of a call's source at an account. Whether the account exists makes no difference."""

    def __init__(self, *, throttles: ThrottleRepository, clock: Clock, actor: Actor) -> None:
        self._throttles = throttles
        self._clock = clock
        self._source = f"source/{actor.source}" if actor.source else ""

    async def admit(self, account: str) -> bool:
        """Counts an attempt at an account, named by its e-mail address or its id; returns whether it may be made."""
        # A source that is locked out must not lock accounts.
        if self._source and not await self._throttles.admit(self._source, SOURCE, self._clock.now()):
            return False
        return await self._throttles.admit(_key("account", account), ACCOUNT, self._clock.now())

    async def succeeded(self, account: str) -> None:
        """Forgets the attempts at an account, for the last one was its owner's."""
        await self._throttles.forget(_key("account", account))
        if self._source:
            await self._throttles.take_back(self._source)

    async def take_back(self, account: str) -> None:
        """Forgets one attempt, which was right as far as it went, but no failure before it."""
        await self._throttles.take_back(_key("account", account))
        if self._source:
            await self._throttles.take_back(self._source)

    async def require_source(self) -> None:
        """Counts what a source asks for without naming itself.

        Raises:
            TooManyLogins: It asks for too much.
        """
        if self._source and not await self._throttles.admit(self._source, SOURCE, self._clock.now()):
            raise TooManyLogins

    async def may_mail(self, email: str) -> bool:
        """Counts a message to an address; returns whether it may be sent."""
        return await self._throttles.admit(_key("mail", email), MAIL, self._clock.now())


def _key(kind: str, name: str) -> str:
    """Names what is counted without keeping the address."""
    return f"{kind}/{hashlib.sha256(search_key(name).encode()).hexdigest()}"
