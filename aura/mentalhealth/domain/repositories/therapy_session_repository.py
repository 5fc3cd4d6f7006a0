"""Where sessions are kept."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from aura.mentalhealth.domain.entities.therapy_session import TherapySession


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
        """Stores the changes made to a session; a cancelled one no longer takes up its participants' time."""
        ...
