"""Lists sessions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from aura.kernel.pagination import Page, Position
from aura.mentalhealth.application.emergencies import Emergencies
from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.repositories.therapy_session_repository import SessionFilter, TherapySessionRepository


class ListTherapySessions:
    """Lists sessions by the time at which they begin, page by page, and has it written down who sees them."""

    def __init__(
        self, *, sessions: TherapySessionRepository, access_audit: AccessAudit, viewer: Viewer, emergencies: Emergencies
    ) -> None:
        self._sessions = sessions
        self._access_audit = access_audit
        self._viewer = viewer
        self._emergencies = emergencies

    async def execute(self, where: SessionFilter, *, after: Position | None, page_size: int) -> Page[TherapySession]:
        """Returns the page of what the caller may see that begins behind `after`; the first one if that is None."""
        last = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else None
        access_id = await self._emergencies.access_to(where.patient_id) if where.patient_id else None
        viewer = self._viewer if access_id is None else Viewer.platform()
        found = await self._sessions.list(replace(where, viewer=viewer), after=last, limit=page_size + 1)
        page = Page.cut(found, size=page_size, key=_position)
        await self._access_audit.listed(page.items, patient_id=where.patient_id, emergency=access_id)
        return page


def _position(session: TherapySession) -> Position:
    return [session.period.start.isoformat(), str(session.session_id)]
