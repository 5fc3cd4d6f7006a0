"""What a refused booking is answered with."""

from __future__ import annotations

from datetime import timedelta

from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.application.interfaces.calendars import Calendars
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.errors import SessionOverlaps
from aura.mentalhealth.domain.services.free_times import next_free_times

SUGGESTIONS = 3
LOOK_AHEAD = timedelta(days=14)


class SuggestTimes:
    """Finds the next times at which both participants of a session are free."""

    def __init__(self, *, calendars: Calendars, access_audit: AccessAudit) -> None:
        self._calendars = calendars
        self._access_audit = access_audit

    async def refusal(self, session: TherapySession) -> SessionOverlaps:
        """Returns the error that refuses the session's time and suggests later ones."""
        await self._access_audit.refused(session)  # it tells that somebody is busy
        wanted = session.period
        during = Period(start=wanted.start, end=wanted.end + LOOK_AHEAD)
        busy = await self._calendars.busy_periods(
            session.participant_ids, during=during, except_session=session.session_id
        )
        free = next_free_times(wanted, busy, count=SUGGESTIONS)
        return SessionOverlaps(next_free=[start for start in free if start < during.end and start != wanted.start])
