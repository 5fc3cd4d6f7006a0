"""Moves a session to another time."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.clock import Clock
from aura.kernel.security.actor import Actor
from aura.mentalhealth.application.change_therapy_session import ChangeTherapySession
from aura.mentalhealth.application.suggest_times import SuggestTimes
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.errors import SessionOverlaps


class RescheduleTherapySession:
    """Moves a scheduled session; it stays the same session, and never blocks itself."""

    def __init__(self, *, change: ChangeTherapySession, suggest: SuggestTimes, clock: Clock, actor: Actor) -> None:
        self._change = change
        self._suggest = suggest
        self._clock = clock
        self._actor = actor

    async def execute(self, session_id: UUID, *, period: Period, reason: str, etag: str) -> TherapySession:
        """Returns the session, at its new time.

        Raises:
            SessionNotFound: There is none with this id.
            EtagMismatch: It is not at the version that a non-empty `etag` names.
            IllegalTransition: It is not scheduled.
            StartInPast: It would begin in the past.
            SessionOverlaps: A participant is taken then.
        """
        moved: list[TherapySession] = []

        def reschedule(session: TherapySession) -> None:
            session.reschedule(period=period, actor=self._actor.user_id, reason=reason, now=self._clock.now())
            moved.append(session)

        try:
            return await self._change.apply(session_id, reschedule, etag=etag)
        except SessionOverlaps:
            raise await self._suggest.refusal(moved[0]) from None
