"""Finds a session."""

from __future__ import annotations

from uuid import UUID

from aura.mentalhealth.application.emergencies import Emergencies
from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.errors import SessionNotFound
from aura.mentalhealth.domain.repositories.therapy_session_repository import TherapySessionRepository


class GetTherapySession:
    """Returns a session with its history, and has it written down who sees it."""

    def __init__(
        self, *, sessions: TherapySessionRepository, access_audit: AccessAudit, viewer: Viewer, emergencies: Emergencies
    ) -> None:
        self._sessions = sessions
        self._access_audit = access_audit
        self._viewer = viewer
        self._emergencies = emergencies

    async def execute(self, session_id: UUID) -> TherapySession:
        """Returns the session.

        Raises:
            SessionNotFound: There is none with this id, or none that is the caller's to see.
        """
        session = await self._sessions.get(session_id)
        if self._viewer.is_in(session):
            await self._access_audit.read(session)
            return session
        access_id = await self._emergencies.access_to(session.patient_id)
        if access_id is None:
            if not self._viewer.sees_all:
                raise SessionNotFound
            await self._access_audit.read(session)
            return self._viewer.shown(session)
        await self._access_audit.read(session, emergency=access_id)
        return session
