"""When people are busy, as the database tells it and as its stand-in does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from aura.kernel.database import Database, sync_url
from aura.mentalhealth.application.interfaces.calendars import Calendars
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import CancellingParty, TherapySession
from aura.mentalhealth.infrastructure.repositories.calendars import PostgresCalendars
from aura.mentalhealth.infrastructure.repositories.therapy_session_repository import PostgresTherapySessionRepository
from tests.mentalhealth.fakes.calendars import FakeCalendars

TEN = datetime(2030, 3, 1, 10, tzinfo=UTC)
ADA, BOB, EVE = (uuid.UUID(int=number) for number in (1, 2, 3))

Change = Callable[[TherapySession], None]


def at(start: int, end: int) -> Period:
    return Period(start=TEN + timedelta(minutes=start), end=TEN + timedelta(minutes=end))


def session_of(therapist: uuid.UUID, patient: uuid.UUID, period: Period) -> TherapySession:
    return TherapySession.schedule(
        session_id=uuid.uuid4(),
        therapist_id=therapist,
        patient_id=patient,
        period=period,
        time_zone="UTC",
        actor="ada",
        now=TEN - timedelta(days=1),
    )


def starts(session: TherapySession) -> None:
    session.start(actor="ada", reason="", now=session.period.start)


def ends(session: TherapySession) -> None:
    session.end(actor="ada", reason="", now=session.period.start + timedelta(minutes=1))


def is_cancelled(session: TherapySession) -> None:
    session.cancel(actor="ada", by=CancellingParty.PATIENT, reason="ill", now=TEN - timedelta(days=1))


def is_missed(session: TherapySession) -> None:
    session.mark_no_show(actor="ada", reason="", now=session.period.start + timedelta(minutes=15))


def is_moved(session: TherapySession) -> None:
    session.reschedule(period=at(120, 150), actor="ada", reason="later", now=TEN - timedelta(days=1))


@dataclass
class Diary:
    """Calendars, and sessions in them."""

    calendars: Calendars
    sessions: PostgresTherapySessionRepository | None

    async def enter(self, session: TherapySession, *changes: Change) -> TherapySession:
        if isinstance(self.calendars, FakeCalendars):
            self.calendars.sessions.append(session)
        if self.sessions:
            await self.sessions.add(session)
        for change in changes:
            change(session)
            if self.sessions:
                await self.sessions.save(session)
        return session

    async def busy(self, *people: uuid.UUID, during: Period, but: uuid.UUID | None = None) -> Sequence[Period]:
        found = await self.calendars.busy_periods(people, during=during, except_session=but)
        return sorted(found, key=lambda period: period.start)


@pytest.fixture(params=[FakeCalendars, PostgresCalendars])
def diary(request: pytest.FixtureRequest, mentalhealth_database: Database) -> Diary:
    if request.param is FakeCalendars:
        return Diary(FakeCalendars(), None)
    execute = mentalhealth_database.execute
    return Diary(PostgresCalendars(execute), PostgresTherapySessionRepository(execute))


@pytest.mark.parametrize(
    ("changes", "busy"),
    [
        ([], [at(0, 50)]),
        ([starts], [at(0, 50)]),
        ([starts, ends], [at(0, 50)]),
        ([is_missed], [at(0, 50)]),
        ([is_cancelled], []),
        ([is_moved], [at(120, 150)]),
    ],
)
async def test_only_a_cancelled_session_frees_its_time(diary: Diary, changes: list[Change], busy: list[Period]):
    await diary.enter(session_of(ADA, BOB, at(0, 50)), *changes)

    assert await diary.busy(ADA, during=at(0, 200)) == busy


async def test_a_person_is_busy_whatever_part_they_take(diary: Diary):
    await diary.enter(session_of(ADA, BOB, at(0, 50)))
    await diary.enter(session_of(EVE, ADA, at(60, 90)))

    assert await diary.busy(ADA, during=at(0, 200)) == [at(0, 50), at(60, 90)]
    assert await diary.busy(BOB, during=at(0, 200)) == [at(0, 50)]
    assert await diary.busy(BOB, EVE, during=at(0, 200)) == [at(0, 50), at(60, 90)]
    assert await diary.busy(uuid.uuid4(), during=at(0, 200)) == []


@pytest.mark.parametrize(
    ("start", "end", "overlaps"),
    [(-30, 0, False), (-30, 1, True), (10, 20, True), (-30, 90, True), (49, 90, True), (50, 90, False)],
)
async def test_tells_of_what_shares_time_with_the_period(diary: Diary, start: int, end: int, *, overlaps: bool):
    await diary.enter(session_of(ADA, BOB, at(0, 50)))

    assert await diary.busy(ADA, during=at(start, end)) == ([at(0, 50)] if overlaps else [])


async def test_leaves_out_the_session_that_is_to_be(diary: Diary):
    moved = await diary.enter(session_of(ADA, BOB, at(0, 50)))
    await diary.enter(session_of(ADA, BOB, at(60, 90)))

    assert await diary.busy(ADA, during=at(0, 200), but=moved.session_id) == [at(60, 90)]


@pytest.mark.parametrize("people", [[ADA], [ADA, BOB]])
async def test_reads_by_the_index_of_the_constraint_whatever_the_parameters(database_url: URL, people: list[uuid.UUID]):
    statements = []

    async def noting(statement: Any, _: Any = None) -> Sequence[Any]:
        statements.append(statement.compile(dialect=dialect()))
        return []

    await PostgresCalendars(noting).busy_periods(people, during=at(0, 200))
    (statement,) = statements
    connection = await asyncpg.connect(sync_url(database_url))
    await connection.execute(f"PREPARE busy AS {statement}")
    await connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    rows = await connection.fetch(f"EXPLAIN EXECUTE busy({', '.join(['NULL'] * len(statement.positiontup))})")
    await connection.close()

    plan = "\n".join(row[0] for row in rows)
    assert "session_participants_no_overlap" in plan
    assert plan.count("Index Cond: ((mentalhealth.uuid_range(user_id") == len(people), plan
