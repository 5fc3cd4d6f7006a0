from __future__ import annotations

import random
import uuid
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date
from sqlalchemy import insert

from aura.mentalhealth.infrastructure.tables import therapy_sessions
from generated.aura.mentalhealth.v1 import therapy_session_pb2 as resource
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as pb
from tests.support.failures import failure_of
from tests.support.platform import Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

NEW_YORK = ZoneInfo("America/New_York")
FIRST = datetime(2030, 3, 1, tzinfo=UTC)
STATES = ["SCHEDULED", "IN_PROGRESS", "COMPLETED", "CANCELLED", "NO_SHOW"]
THERAPISTS, PATIENTS = ([uuid.UUID(int=base + number) for number in range(3)] for base in (100, 200))


def rows() -> list[dict]:
    """300 sessions around the day on which New York's clocks change, many of them at the same time."""
    dice = random.Random(7)
    made = []
    for number in range(300):
        start = FIRST + timedelta(minutes=30 * dice.randrange(48 * 20))
        end = start + timedelta(minutes=dice.choice([30, 50, 480]))
        state = dice.choice(STATES)
        completed = state == "COMPLETED"
        made.append(
            {
                "session_id": uuid.UUID(int=number + 1000),
                "therapist_id": dice.choice(THERAPISTS),
                "patient_id": dice.choice(PATIENTS),
                "start_time": start,
                "end_time": end,
                "time_zone": "UTC",
                "state": state,
                "actual_start_time": start + timedelta(minutes=3) if completed else None,
                "actual_end_time": end - timedelta(minutes=1) if completed else None,
                "cancelled_by": None,
                "version": 1,
                "create_time": start,
                "update_time": start,
            }
        )
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(shared_platform: Platform) -> list[dict]:
    made = rows()
    async with shared_platform.host._modules["mentalhealth"].database.read() as connection:
        await connection.execute(insert(therapy_sessions).values(made))
    return made


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


async def all_pages(platform: Platform, request: pb.ListTherapySessionsRequest) -> list[resource.TherapySession]:
    sessions = []
    while True:
        page = await platform.sessions.ListTherapySessions(request)
        sessions += page.sessions
        request.page_token = page.next_page_token
        if not request.page_token:
            return sessions


def in_order(selected: list[dict]) -> list[str]:
    return [str(row["session_id"]) for row in sorted(selected, key=lambda row: (row["start_time"], row["session_id"]))]


@pytest.mark.parametrize("page_size", [7, 100, 10**9])
async def test_lists_all_in_order_whatever_the_page(platform: Platform, stored: list[dict], page_size: int):
    listed = await all_pages(platform, pb.ListTherapySessionsRequest(page_size=page_size))

    assert [session.session_id for session in listed] == in_order(stored)
    assert not any(session.transitions for session in listed)


@pytest.mark.parametrize("therapist", [None, 1])
@pytest.mark.parametrize("patient", [None, 2])
@pytest.mark.parametrize("states", [[], ["SCHEDULED"], ["COMPLETED", "NO_SHOW"]])
@pytest.mark.parametrize("window", [(None, None), (5, None), (None, 5), (5, 6), (5.25, 5.26)])
async def test_filters_as_a_model_does(platform: Platform, stored: list[dict], therapist, patient, states, window):
    start, end = (None if day is None else FIRST + timedelta(days=day) for day in window)
    expected = [
        row
        for row in stored
        if (therapist is None or row["therapist_id"] == THERAPISTS[therapist])
        and (patient is None or row["patient_id"] == PATIENTS[patient])
        and (not states or row["state"] in states)
        and (start is None or row["end_time"] > start)
        and (end is None or row["start_time"] < end)
    ]

    listed = await all_pages(
        platform,
        pb.ListTherapySessionsRequest(
            page_size=20,
            therapist_id="" if therapist is None else str(THERAPISTS[therapist]),
            patient_id="" if patient is None else str(PATIENTS[patient]),
            states=[f"THERAPY_SESSION_STATE_{state}" for state in states],
            window_start=start,
            window_end=end,
        ),
    )

    assert [session.session_id for session in listed] == in_order(expected)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"therapist_id": "x"}, "therapist_id"),
        ({"patient_id": "x"}, "patient_id"),
        ({"states": [0]}, "states[0]"),
        ({"states": [77]}, "states[0]"),
        ({"window_start": FIRST, "window_end": FIRST}, "window_end"),
    ],
)
async def test_refuses_bad_queries(platform: Platform, fields: dict, path: str):
    failure = await failure_of(platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest(**fields)))

    assert path in failure.fields


async def test_a_token_of_another_query_is_refused(platform: Platform, stored: list[dict]):
    page = await platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest(page_size=5))
    other = pb.ListTherapySessionsRequest(page_token=page.next_page_token, therapist_id=str(THERAPISTS[0]))

    failure = await failure_of(platform.sessions.ListTherapySessions(other))

    assert failure.reason == "PAGE_TOKEN_INVALID"


def period_of(time: datetime, period: str) -> date:
    day = time.astimezone(NEW_YORK).date()
    match period:
        case "DAY":
            return day
        case "WEEK":
            return day - timedelta(days=day.weekday())
        case _:
            return day.replace(day=1)


@pytest.mark.parametrize("period", ["DAY", "WEEK", "MONTH"])
@pytest.mark.parametrize("therapist", [None, 0])
async def test_counts_as_a_model_does_across_a_change_of_clocks(platform, stored, period, therapist):
    begin, end = date(2030, 3, 5), date(2030, 3, 15)
    counted: dict = {}
    for row in stored:
        chosen = therapist is None or row["therapist_id"] == THERAPISTS[therapist]
        if chosen and begin <= row["start_time"].astimezone(NEW_YORK).date() < end:
            counted.setdefault((period_of(row["start_time"], period), row["therapist_id"]), []).append(row)

    answer = await platform.sessions.GetStatistics(
        pb.GetStatisticsRequest(
            start_date=Date(year=2030, month=3, day=5),
            end_date=Date(year=2030, month=3, day=15),
            time_zone="America/New_York",
            period=f"STATISTICS_PERIOD_{period}",
            therapist_id="" if therapist is None else str(THERAPISTS[therapist]),
        )
    )

    keys = [
        (date(row.period_start.year, row.period_start.month, row.period_start.day), uuid.UUID(row.therapist_id))
        for row in answer.rows
    ]
    assert keys == sorted(counted)
    for key, row in zip(keys, answer.rows, strict=True):
        check_counts(row.counts, counted[key])
    check_counts(answer.total, [row for group in counted.values() for row in group])


def check_counts(counts: pb.TherapySessionCounts, expected: list[dict]) -> None:
    by_state = {state: sum(row["state"] == state for row in expected) for state in STATES}
    assert {state: getattr(counts, state.lower()) for state in STATES} == by_state
    booked = sum((row["end_time"] - row["start_time"] for row in expected if row["state"] != "CANCELLED"), timedelta())
    held = sum(
        (row["actual_end_time"] - row["actual_start_time"] for row in expected if row["actual_end_time"]), timedelta()
    )
    assert counts.booked_minutes == pytest.approx(booked.total_seconds() / 60)
    assert counts.held_minutes == pytest.approx(held.total_seconds() / 60)
    due = by_state["COMPLETED"] + by_state["NO_SHOW"]
    assert counts.no_show_rate == pytest.approx(by_state["NO_SHOW"] / due if due else 0)


@pytest.mark.parametrize(
    ("start", "end", "zone", "path"),
    [
        ((2030, 1, 1), (2030, 1, 1), "UTC", "end_date"),
        ((2030, 1, 2), (2030, 1, 1), "UTC", "end_date"),
        ((2030, 1, 1), (2031, 1, 3), "UTC", "end_date"),
        ((2030, 2, 30), (2030, 3, 1), "UTC", "start_date"),
        ((0, 1, 1), (2030, 3, 1), "UTC", "start_date"),
        ((2030, 1, 1), (2030, 1, 2), "Mars", "time_zone"),
    ],
)
async def test_refuses_bad_windows(platform: Platform, start, end, zone, path):
    dates = [Date(year=year, month=month, day=day) for year, month, day in (start, end)]
    request = pb.GetStatisticsRequest(start_date=dates[0], end_date=dates[1], time_zone=zone)

    failure = await failure_of(platform.sessions.GetStatistics(request))

    assert failure.fields == [path]


@pytest.mark.parametrize("field", ["window_start", "window_end"])
@pytest.mark.parametrize("time", [Timestamp(seconds=2**60), Timestamp(nanos=-1)])
async def test_refuses_a_time_that_is_none(platform: Platform, field: str, time: Timestamp):
    failure = await failure_of(platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest(**{field: time})))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == [field]
