"""One request's changes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, Self
from uuid import UUID

from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.events import EmergencyAccessBegun, SessionEvent
from aura.mentalhealth.domain.repositories.emergency_access_repository import EmergencyAccessRepository
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

    @property
    def emergency_accesses(self) -> EmergencyAccessRepository:
        """The emergency accesses, inside the transaction."""
        ...

    async def __aenter__(self) -> Self:
        """Begins."""
        ...

    async def replayed(self) -> UUID | None:
        """Returns the session that this same request made or changed before; None if the request is new."""
        ...

    def publish_all(self, events: Iterable[SessionEvent | EmergencyAccessBegun]) -> None:
        """Publishes events, and adds them to the audit trail, if the unit of work is committed."""
        ...

    def audit_end(self, access: EmergencyAccess) -> None:
        """Adds the end of an emergency access to the audit trail, if the unit of work is committed."""
        ...

    async def commit(self, resource_id: UUID | None = None) -> None:
        """Makes the changes last, and remembers the request by the session it was about."""
        ...
