from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import SessionState, TherapySession


class FakeCalendars:
    """Knows the sessions it is given, as they are when it is asked."""

    def __init__(self, *sessions: TherapySession) -> None:
        self.sessions = list(sessions)

    async def busy_periods(
        self, user_ids: Collection[UUID], *, during: Period, except_session: UUID | None = None
    ) -> Sequence[Period]:
        return [
            session.period
            for session in self.sessions
            if session.state is not SessionState.CANCELLED
            and not set(user_ids).isdisjoint(session.participant_ids)
            and session.period.overlaps(during)
            and session.session_id != except_session
        ]
