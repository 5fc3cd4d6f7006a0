"""Finds a session."""

from __future__ import annotations

from uuid import UUID

from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.repositories.therapy_session_repository import TherapySessionRepository


class GetTherapySession:
    """Returns a session with its history."""

    def __init__(self, *, sessions: TherapySessionRepository) -> None:
        self._sessions = sessions

    async def execute(self, session_id: UUID) -> TherapySession:
        """Returns the session.

        Raises:
            SessionNotFound: There is none with this id.
        """
        return await self._sessions.get(session_id)
