"""Where sessions are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from aura.mentalhealth.domain.entities.therapy_session import SessionState, TherapySession
from aura.mentalhealth.domain.entities.viewer import Viewer


@dataclass(frozen=True, kw_only=True)
class SessionFilter:
    """Which sessions to list; what is not set does not limit. The window keeps sessions that share time with it.

    What the viewer does not see is not listed.
    """

    therapist_id: UUID | None = None
    patient_id: UUID | None = None
    states: frozenset[SessionState] = frozenset()
    window_start: datetime | None = None
    window_end: datetime | None = None
    viewer: Viewer = field(default_factory=Viewer.platform)


class TherapySessionRepository(Protocol):
    """Keeps sessions, and sees that no two of one person overlap."""

    async def add(self, session: TherapySession) -> None:
        """Adds a session.

        Raises:
            SessionOverlaps: One of its participants is taken at that time.
        """
        ...

    async def get(self, session_id: UUID) -> TherapySession:
        """Returns a session with its history.

        Raises:
            SessionNotFound: There is none with this id.
        """
        ...

    async def get_for_update(self, session_id: UUID) -> TherapySession:
        """Returns a session, and keeps others from changing it until the unit of work ends.

        Raises:
            SessionNotFound: There is none with this id.
        """
        ...

    async def save(self, session: TherapySession) -> None:
        """Stores the changes made to a session; a cancelled one no longer takes up its participants' time.

        Raises:
            SessionOverlaps: One of its participants is taken at its new time.
        """
        ...

    async def list(
        self, where: SessionFilter, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[TherapySession]:
        """Returns up to `limit` sessions without their history, by start and id, behind `after`."""
        ...

    async def scheduled_with(self, user_id: UUID, *, after: datetime) -> Sequence[UUID]:
        """Returns the ids of scheduled sessions that a user takes part in and that begin later, in their order."""
        ...
