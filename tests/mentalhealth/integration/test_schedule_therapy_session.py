from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text

from aura.kernel.audit import AuditTrail
from aura.kernel.database import Database
from aura.kernel.events.inbox import NO_DELIVERY
from aura.kernel.events.outbox import Outbox
from aura.kernel.idempotency import IdempotentRequest, idempotency_table
from aura.kernel.security.access_changes import AccessChanges
from aura.kernel.security.actor import Actor
from aura.mentalhealth.application.emergencies import Emergencies
from aura.mentalhealth.application.suggest_times import SuggestTimes
from aura.mentalhealth.application.use_cases.get_therapy_session import GetTherapySession
from aura.mentalhealth.application.use_cases.schedule_therapy_session import Booking, ScheduleTherapySession
from aura.mentalhealth.domain.entities.participant import Participant
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.errors import ParticipantNotFound, SessionOverlaps, TimeZoneUnknown
from aura.mentalhealth.infrastructure.repositories.calendars import PostgresCalendars
from aura.mentalhealth.infrastructure.repositories.emergency_access_repository import PostgresEmergencyAccessRepository
from aura.mentalhealth.infrastructure.repositories.therapy_session_repository import PostgresTherapySessionRepository
from aura.mentalhealth.infrastructure.tables import session_participants, therapy_sessions
from aura.mentalhealth.infrastructure.unit_of_work import PostgresUnitOfWork
from aura.modules import AURA_MODULES
from tests.mentalhealth.fakes.access_audit import FakeAccessAudit
from tests.mentalhealth.fakes.user_directory import FakeUserDirectory
from tests.support.platform import FakeClock

NOW = datetime(2030, 3, 1, 12, tzinfo=UTC)
THERAPISTS = [
    Participant(user_id=uuid.uuid4(), roles=frozenset({"ROLE_THERAPIST"}), active=True, time_zone="Europe/Berlin")
    for _ in range(3)
]
PATIENTS = [
    Participant(user_id=uuid.uuid4(), roles=frozenset({"ROLE_PATIENT"}), active=True, time_zone="UTC") for _ in range(3)
]

NewUseCase = Callable[[], ScheduleTherapySession]


@pytest.fixture
def new_use_case(mentalhealth_database: Database) -> NewUseCase:
    """Makes the use case anew, as each request does."""
    request = IdempotentRequest(
        table=idempotency_table("mentalhealth"), actor="ada", method="schedule", request_id="", fingerprint=b""
    )
    return lambda: ScheduleTherapySession(
        unit_of_work=PostgresUnitOfWork(
            database=mentalhealth_database,
            request=request,
            outbox=Outbox(module="mentalhealth", publishes=AURA_MODULES["mentalhealth"].publishes),
            delivery=NO_DELIVERY,
            audit_trail=AuditTrail(module="mentalhealth", database=mentalhealth_database),
            access_changes=AccessChanges(),
        ),
        get=GetTherapySession(
            sessions=PostgresTherapySessionRepository(mentalhealth_database.execute),
            access_audit=FakeAccessAudit(),
            viewer=Viewer.platform(),
            emergencies=Emergencies(
                accesses=PostgresEmergencyAccessRepository(mentalhealth_database.execute),
                clock=FakeClock(NOW),
                viewer=Viewer.platform(),
            ),
        ),
        users=FakeUserDirectory(*THERAPISTS, *PATIENTS),
        suggest=SuggestTimes(
            calendars=PostgresCalendars(mentalhealth_database.execute), access_audit=FakeAccessAudit()
        ),
        clock=FakeClock(NOW),
        actor=Actor(user_id="ada"),
        viewer=Viewer.platform(),
    )


def booking(
    *, therapist: int = 0, patient: int = 0, start: int = 60, minutes: int = 50, time_zone: str = ""
) -> Booking:
    begin = NOW + timedelta(minutes=start)
    return Booking(
        therapist_id=THERAPISTS[therapist].user_id,
        patient_id=PATIENTS[patient].user_id,
        period=Period(start=begin, end=begin + timedelta(minutes=minutes)),
        time_zone=time_zone,
    )


async def test_stores_what_was_booked(new_use_case: NewUseCase, mentalhealth_database: Database):
    session = await new_use_case().execute(booking())

    stored = await PostgresTherapySessionRepository(mentalhealth_database.execute).get(session.session_id)
    assert stored == session
    assert stored.time_zone == "Europe/Berlin"


async def test_takes_the_zone_that_was_agreed(new_use_case: NewUseCase):
    session = await new_use_case().execute(booking(time_zone="America/New_York"))

    assert session.time_zone == "America/New_York"


async def test_refuses_an_unknown_zone(new_use_case: NewUseCase):
    with pytest.raises(TimeZoneUnknown):
        await new_use_case().execute(booking(time_zone="Mars/Olympus"))


async def test_refuses_an_unknown_patient_and_stores_nothing(new_use_case: NewUseCase, mentalhealth_database: Database):
    unknown = Booking(
        therapist_id=THERAPISTS[0].user_id, patient_id=uuid.uuid4(), period=booking().period, time_zone=""
    )

    with pytest.raises(ParticipantNotFound):
        await new_use_case().execute(unknown)

    async with mentalhealth_database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(therapy_sessions)) == 0


@pytest.mark.parametrize(
    "second",
    [
        {"start": 60},
        {"start": 109},
        {"start": 11},
        {"start": 0, "minutes": 240},
        {"start": 70, "minutes": 10},
        {"start": 60, "therapist": 1},
        {"start": 60, "patient": 1},
    ],
)
async def test_refuses_an_overlap_of_either_person(
    new_use_case: NewUseCase, mentalhealth_database: Database, second: dict
):
    await new_use_case().execute(booking())

    with pytest.raises(SessionOverlaps):
        await new_use_case().execute(booking(**second))

    async with mentalhealth_database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(therapy_sessions)) == 1


@pytest.mark.parametrize("second", [{"start": 110}, {"start": 10}, {"therapist": 1, "patient": 1}])
async def test_books_what_touches_or_concerns_others(new_use_case: NewUseCase, second: dict):
    await new_use_case().execute(booking())

    assert await new_use_case().execute(booking(**second))


async def test_concurrent_bookings_leave_no_overlap_and_no_deadlock(
    new_use_case: NewUseCase, mentalhealth_database: Database, trials: int
):
    dice = random.Random(1)
    bookings = [
        booking(therapist=dice.randrange(3), patient=dice.randrange(3), start=dice.randrange(0, 600, 5), minutes=30)
        for _ in range(100 * trials)
    ]

    outcomes = await asyncio.gather(*(new_use_case().execute(each) for each in bookings), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} == {SessionOverlaps}
    async with mentalhealth_database.read() as connection:
        a, b = session_participants.alias("a"), session_participants.alias("b")
        overlapping = select(func.count()).where(
            a.c.user_id == b.c.user_id, a.c.session_id < b.c.session_id, a.c.period.op("&&")(b.c.period)
        )
        assert await connection.scalar(overlapping) == 0
        stored = await connection.scalar(select(func.count()).select_from(therapy_sessions))
    assert stored == sum(not isinstance(outcome, Exception) for outcome in outcomes)


async def test_the_history_cannot_be_changed(new_use_case: NewUseCase, mentalhealth_database: Database):
    await new_use_case().execute(booking())

    for statement in (
        "UPDATE mentalhealth.session_transitions SET reason = 'x'",
        "TRUNCATE mentalhealth.session_transitions",
    ):
        async with mentalhealth_database.read() as connection:
            with pytest.raises(Exception, match="permission denied"):
                await connection.execute(text(statement))
