"""Finds when a therapist is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from aura.kernel.clock import Clock
from aura.mentalhealth.application.interfaces.calendars import Calendars
from aura.mentalhealth.application.interfaces.user_directory import UserDirectory
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.services.free_times import free_periods
from aura.mentalhealth.domain.services.participation import found


@dataclass(frozen=True, kw_only=True)
class Availability:
    """When a therapist is free, and the time zone that they live by."""

    free_periods: Sequence[Period]
    time_zone: str


class GetAvailability:
    """Finds the periods in which a therapist can be booked."""

    def __init__(self, *, users: UserDirectory, calendars: Calendars, clock: Clock) -> None:
        self._users = users
        self._calendars = calendars
        self._clock = clock

    async def execute(self, therapist_id: UUID, *, during: Period, minimum: timedelta) -> Availability:
        """Returns the free parts of a period, from now on, that are no shorter than `minimum`.

        Raises:
            ParticipantNotFound: There is no such therapist.
        """
        people = await self._users.find([therapist_id])
        therapist = found(people.get(therapist_id), Part.THERAPIST)
        to_come = during.after(self._clock.now())
        if to_come is None:
            return Availability(free_periods=(), time_zone=therapist.time_zone)
        busy = await self._calendars.busy_periods([therapist_id], during=to_come)
        return Availability(free_periods=free_periods(to_come, busy, minimum=minimum), time_zone=therapist.time_zone)
