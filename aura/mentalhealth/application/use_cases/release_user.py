"""Takes a user whose account is out of use off the calendar."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.clock import Clock
from aura.kernel.security.actor import Actor
from aura.mentalhealth.application.interfaces.unit_of_work import UnitOfWork
from aura.mentalhealth.domain.entities.therapy_session import CancellingParty

REASON = "the account of a participant was deactivated"


class ReleaseUser:
    """Cancels a user's future sessions, and keeps them from being booked."""

    def __init__(self, *, unit_of_work: UnitOfWork, clock: Clock, actor: Actor) -> None:
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._actor = actor

    async def execute(self, user_id: UUID) -> None:
        """Cancels the sessions that have not begun, each with an event of its own, all in one unit of work."""
        now = self._clock.now()
        async with self._unit_of_work as work:
            await work.inactive_users.add(user_id, now=now)
            for session_id in await work.sessions.scheduled_with(user_id, after=now):
                session = await work.sessions.get_for_update(session_id)
                if session.is_scheduled:  # it may have changed while this waited for it
                    session.cancel(actor=self._actor.user_id, by=CancellingParty.CLINIC, reason=REASON, now=now)
                    await work.sessions.save(session)
                    work.publish_all(session.events)
            await work.commit()
