"""Lists sessions."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from aura.kernel.pagination import Page, Position
from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.repositories.therapy_session_repository import SessionFilter, TherapySessionRepository


class ListTherapySessions:
    """Lists sessions by the time at which they begin, page by page, and has it written down who sees them."""

    def __init__(self, *, sessions: TherapySessionRepository, access_audit: AccessAudit) -> None:
        self._sessions = sessions
        self._access_audit = access_audit

    async def execute(self, where: SessionFilter, *, after: Position | None, page_size: int) -> Page[TherapySession]:
        """Returns the page that begins behind the position `after`; the first one if that is None."""
        last = (datetime.fromisoformat(after[0]), UUID(after[1])) if after else None
        found = await self._sessions.list(where, after=last, limit=page_size + 1)
        page = Page.cut(found, size=page_size, key=_position)
        await self._access_audit.listed(page.items, patient_id=where.patient_id)
        return page


def _position(session: TherapySession) -> Position:
    return [session.period.start.isoformat(), str(session.session_id)]
