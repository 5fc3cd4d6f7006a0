"""Ends a session."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.clock import Clock
from aura.kernel.security.actor import Actor
from aura.mentalhealth.application.change_therapy_session import ChangeTherapySession
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.therapy_session import TherapySession


class EndTherapySession:
    """Ends a session that is in progress."""

    def __init__(self, *, change: ChangeTherapySession, clock: Clock, actor: Actor) -> None:
        self._change = change
        self._clock = clock
        self._actor = actor

    async def execute(self, session_id: UUID, *, reason: str) -> TherapySession:
        """Returns the session, completed.

        Raises:
            SessionNotFound: There is none with this id.
            IllegalTransition: It is not in progress.
        """
        actor, now = self._actor.user_id, self._clock.now()
        return await self._change.apply(
            session_id,
            lambda session: session.end(actor=actor, reason=reason, now=now),
            by=[Part.THERAPIST],
            staff=False,
        )
