"""Books a session."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from aura.kernel.clock import Clock
from aura.kernel.ids import new_id
from aura.kernel.security.actor import Actor
from aura.kernel.times import is_time_zone
from aura.mentalhealth.application.interfaces.unit_of_work import UnitOfWork
from aura.mentalhealth.application.interfaces.user_directory import UserDirectory
from aura.mentalhealth.application.suggest_times import SuggestTimes
from aura.mentalhealth.application.use_cases.get_therapy_session import GetTherapySession
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.errors import SessionOverlaps, TimeZoneUnknown
from aura.mentalhealth.domain.services.participation import admitted, require_active, require_own


@dataclass(frozen=True, kw_only=True)
class Booking:
    """What is to be booked. An empty time zone means the therapist's."""

    therapist_id: UUID
    patient_id: UUID
    period: Period
    time_zone: str


class ScheduleTherapySession:
    """Books a session of a therapist with a patient."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWork,
        get: GetTherapySession,
        users: UserDirectory,
        suggest: SuggestTimes,
        clock: Clock,
        actor: Actor,
        viewer: Viewer,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._get = get
        self._users = users
        self._suggest = suggest
        self._clock = clock
        self._actor = actor
        self._viewer = viewer

    async def execute(self, booking: Booking) -> TherapySession:
        """Books the session, or returns it if this same request booked it before.

        Raises:
            BookingNotAdmitted: It is not the caller's to book.
            ParticipantNotFound, ParticipantInactive, ParticipantRoleMissing: A participant cannot take part.
            StartInPast: The session would begin in the past.
            TimeZoneUnknown: There is no such zone.
            SessionOverlaps: A participant is taken.
        """
        require_own(booking.therapist_id, booking.patient_id, self._viewer)
        if (known := await self._unit_of_work.replayed()) is not None:
            return await self._get.execute(known)
        session = await self._new_session(booking)
        try:
            async with self._unit_of_work as work:
                require_active(session, await work.inactive_users.among(session.participant_ids))
                await work.sessions.add(session)
                work.publish_all(session.events)
                await work.commit(session.session_id)
        except SessionOverlaps:
            raise await self._suggest.refusal(session) from None
        return session

    async def _new_session(self, booking: Booking) -> TherapySession:
        if booking.time_zone and not is_time_zone(booking.time_zone):
            raise TimeZoneUnknown
        people = await self._users.find([booking.therapist_id, booking.patient_id])
        therapist = admitted(people.get(booking.therapist_id), Part.THERAPIST)
        patient = admitted(people.get(booking.patient_id), Part.PATIENT)
        return TherapySession.schedule(
            session_id=new_id(),
            therapist_id=therapist.user_id,
            patient_id=patient.user_id,
            period=booking.period,
            time_zone=booking.time_zone or therapist.time_zone,
            actor=self._actor.user_id,
            now=self._clock.now(),
        )
