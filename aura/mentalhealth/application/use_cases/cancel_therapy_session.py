"""Cancels a session."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.clock import Clock
from aura.kernel.errors import FieldViolation, InvalidRequest
from aura.kernel.security.actor import Actor
from aura.mentalhealth.application.change_therapy_session import ChangeTherapySession
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.therapy_session import CancellingParty, TherapySession
from aura.mentalhealth.domain.entities.viewer import Viewer

_PATIENT_ONLY = FieldViolation(field="cancelled_by", description="must be CANCELLING_PARTY_PATIENT for patients")


class CancelTherapySession:
    """Cancels a scheduled session and frees its time."""

    def __init__(self, *, change: ChangeTherapySession, clock: Clock, actor: Actor, viewer: Viewer) -> None:
        self._change = change
        self._clock = clock
        self._actor = actor
        self._viewer = viewer

    async def execute(self, session_id: UUID, *, by: CancellingParty, reason: str) -> TherapySession:
        """Returns the session, cancelled.

        Raises:
            SessionNotFound: There is none with this id.
            IllegalTransition: It is not scheduled.
            InvalidRequest: A patient cancels in the name of somebody else.
        """
        now = self._clock.now()

        def cancel(session: TherapySession) -> None:
            if by is not CancellingParty.PATIENT and not self._viewer.may_act(session, Part.THERAPIST, staff=True):
                raise InvalidRequest(_PATIENT_ONLY)
            session.cancel(actor=self._actor.user_id, by=by, reason=reason, now=now)

        return await self._change.apply(session_id, cancel)
