"""One request's changes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self
from uuid import UUID

from aura.mentalhealth.domain.events import SessionEvent
from aura.mentalhealth.domain.repositories.inactive_user_repository import InactiveUserRepository
from aura.mentalhealth.domain.repositories.therapy_session_repository import TherapySessionRepository


class UnitOfWork(AbstractAsyncContextManager["UnitOfWork", None], Protocol):
    """Changes that are all made, at `commit`, or not at all."""

    @property
    def sessions(self) -> TherapySessionRepository:
        """The sessions, inside the transaction."""
        ...

    @property
    def inactive_users(self) -> InactiveUserRepository:
        """Who is not to be booked any more, inside the transaction."""
        ...

    async def __aenter__(self) -> Self:
        """Begins."""
        ...

    async def replayed(self) -> UUID | None:
        """Returns the session that this same request made or changed before; None if the request is new."""
        ...

    def publish_all(self, events: Iterable[SessionEvent]) -> None:
        """Publishes events, and adds them to the audit trail, if the unit of work is committed."""
        ...

    async def commit(self, resource_id: UUID | None = None) -> None:
        """Makes the changes last, and remembers the request by the session it was about."""
        ...
