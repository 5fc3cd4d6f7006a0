"""Finds a session."""

from __future__ import annotations

from uuid import UUID

from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.repositories.therapy_session_repository import TherapySessionRepository


class GetTherapySession:
    """Returns a session with its history, and has it written down who sees it."""

    def __init__(self, *, sessions: TherapySessionRepository, access_audit: AccessAudit) -> None:
        self._sessions = sessions
        self._access_audit = access_audit

    async def execute(self, session_id: UUID) -> TherapySession:
        """Returns the session.

        Raises:
            SessionNotFound: There is none with this id.
        """
        session = await self._sessions.get(session_id)
        await self._access_audit.read(session)
        return session
