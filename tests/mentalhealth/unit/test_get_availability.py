from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from aura.mentalhealth.application.use_cases.get_availability import GetAvailability
from aura.mentalhealth.domain.entities.participant import Participant
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.errors import ParticipantNotFound
from tests.mentalhealth.fakes.calendars import FakeCalendars
from tests.mentalhealth.fakes.user_directory import FakeUserDirectory
from tests.support.platform import FakeClock

NOW = datetime(2030, 3, 1, 12, tzinfo=UTC)
THERAPIST = Participant(
    user_id=uuid.uuid4(), roles=frozenset({"ROLE_THERAPIST"}), active=True, time_zone="Europe/Berlin"
)
ANY = timedelta(0)


def at(start: int, end: int) -> Period:
    return Period(start=NOW + timedelta(minutes=start), end=NOW + timedelta(minutes=end))


def session(period: Period) -> TherapySession:
    return TherapySession.schedule(
        session_id=uuid.uuid4(),
        therapist_id=THERAPIST.user_id,
        patient_id=uuid.uuid4(),
        period=period,
        time_zone="UTC",
        actor="ada",
        now=NOW - timedelta(days=1),
    )


def use_case(*sessions: TherapySession) -> GetAvailability:
    return GetAvailability(users=FakeUserDirectory(THERAPIST), calendars=FakeCalendars(*sessions), clock=FakeClock(NOW))


async def test_tells_when_the_therapist_is_free_and_by_which_zone_they_live():
    booked = [session(at(60, 110)), session(at(110, 160))]

    answer = await use_case(*booked).execute(THERAPIST.user_id, during=at(30, 300), minimum=ANY)

    assert answer.free_periods == [at(30, 60), at(160, 300)]
    assert answer.time_zone == "Europe/Berlin"


async def test_what_is_past_is_not_free():
    answer = await use_case(session(at(-30, 20))).execute(THERAPIST.user_id, during=at(-90, 60), minimum=ANY)

    assert answer.free_periods == [at(20, 60)]


async def test_time_begins_now():
    answer = await use_case().execute(THERAPIST.user_id, during=at(-90, 60), minimum=ANY)

    assert answer.free_periods == [at(0, 60)]


@pytest.mark.parametrize("end", [-10, 0])
async def test_nothing_is_free_in_the_past(end: int):
    answer = await use_case().execute(THERAPIST.user_id, during=at(-90, end), minimum=ANY)

    assert list(answer.free_periods) == []
    assert answer.time_zone == "Europe/Berlin"


async def test_a_minimum_counts_from_now_on():
    answer = await use_case().execute(THERAPIST.user_id, during=at(-90, 40), minimum=timedelta(minutes=50))

    assert list(answer.free_periods) == []


@pytest.mark.parametrize("during", [at(0, 60), at(-90, -30)])
async def test_refuses_a_therapist_whom_nobody_knows(during: Period):
    with pytest.raises(ParticipantNotFound):
        await use_case().execute(uuid.uuid4(), during=during, minimum=ANY)
