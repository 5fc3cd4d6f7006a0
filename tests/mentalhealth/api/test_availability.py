"""When a therapist is free, as everybody may ask who books sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import URL

from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as pb
from generated.aura.mentalhealth.v1.therapy_session_pb2 import CANCELLING_PARTY_PATIENT, TherapySession
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import (
    ROLE_ADMIN,
    ROLE_OPERATOR,
    ROLE_PATIENT,
    ROLE_SUPPORT,
    ROLE_THERAPIST,
)
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import DeactivateUserRequest
from tests.support.accounts import audited
from tests.support.events import until_handled
from tests.support.failures import Failure, failure_of
from tests.support.platform import Platform

ABSENT = "01900000-0000-7000-8000-000000000000"
DAY = 24 * 60

Minutes = tuple[int, int]


@dataclass
class Practice:
    """A therapist and patients; times are in minutes from when it was opened."""

    platform: Platform
    therapist: User
    opened: datetime

    def at(self, minutes: float) -> datetime:
        return self.opened + timedelta(minutes=minutes)

    def asking(self, start: float, end: float, **fields: Any) -> pb.GetAvailabilityRequest:
        times = {"start_time": self.at(start), "end_time": self.at(end)}
        return pb.GetAvailabilityRequest(**{"therapist_id": self.therapist.user_id, **times, **fields})

    async def free(self, start: float, end: float, **fields: Any) -> list[Minutes]:
        answer = await self.platform.sessions.GetAvailability(self.asking(start, end, **fields))
        return [(self._minutes(free.start_time), self._minutes(free.end_time)) for free in answer.free_periods]

    async def book(self, start: int, end: int, *, patient_id: str = "", therapist_id: str = "") -> TherapySession:
        return await self.platform.sessions.ScheduleTherapySession(
            pb.ScheduleTherapySessionRequest(
                therapist_id=therapist_id or self.therapist.user_id,
                patient_id=patient_id or (await self.platform.create_patient()).user_id,
                start_time=self.at(start),
                end_time=self.at(end),
            )
        )

    async def change(self, method: str, session: TherapySession, **fields: Any) -> None:
        request = getattr(pb, f"{method}Request")(session_id=session.session_id, reason="so it is", **fields)
        await getattr(self.platform.sessions, method)(request)

    def _minutes(self, time: Timestamp) -> int:
        return int((time.ToDatetime(tzinfo=UTC) - self.opened).total_seconds() / 60)


@pytest.fixture
async def practice(platform: Platform) -> Practice:
    return Practice(platform, await platform.create_therapist(time_zone="Europe/Berlin"), platform.clock.now())


async def test_a_therapist_without_sessions_is_free_all_the_time(practice: Practice):
    answer = await practice.platform.sessions.GetAvailability(practice.asking(60, 31 * DAY + 60))

    start, end = Timestamp(), Timestamp()
    start.FromDatetime(practice.at(60))
    end.FromDatetime(practice.at(31 * DAY + 60))
    assert answer == pb.TherapistAvailability(
        free_periods=[pb.FreePeriod(start_time=start, end_time=end)], time_zone="Europe/Berlin"
    )


async def test_sessions_split_the_time_and_those_that_touch_count_as_one(practice: Practice):
    for start, end in ((300, 350), (100, 150), (150, 200), (-3, 30), (580, 620)):
        await practice.book(start, end)

    assert await practice.free(0, 600) == [(30, 100), (200, 300), (350, 580)]
    assert await practice.free(110, 190) == []
    assert await practice.free(150, 330) == [(200, 300)]
    assert await practice.free(200, 300) == [(200, 300)]


async def test_what_is_free_can_be_booked_and_nothing_longer(practice: Practice):
    for start, end in ((100, 150), (200, 250)):
        await practice.book(start, end)
    (early, between, late) = await practice.free(60, 300)

    for start, end in ((early[0], early[1] + 1), (between[0] - 1, between[1]), (between[0], between[1] + 1)):
        with pytest.raises(grpc.aio.AioRpcError, match="not free at that time"):
            await practice.book(start, end)
    for free in (early, between, late):
        await practice.book(*free)

    assert await practice.free(60, 300) == []


async def test_only_a_cancelled_session_frees_its_time(practice: Practice):
    sessions = [await practice.book(start, start + 50) for start in (10, 100, 200, 300, 400)]
    held, cancelled, moved, _, begun = sessions
    await practice.change("CancelTherapySession", cancelled, cancelled_by=CANCELLING_PARTY_PATIENT)
    times = {"start_time": practice.at(500), "end_time": practice.at(550)}
    await practice.change("RescheduleTherapySession", moved, **times)

    practice.platform.clock.advance(timedelta(minutes=10))
    await practice.change("StartTherapySession", held)
    in_progress = await practice.free(0, 100)
    practice.platform.clock.advance(timedelta(minutes=5))
    await practice.change("EndTherapySession", held)
    ended_early = await practice.free(0, 100)
    practice.platform.clock.advance(timedelta(minutes=400))
    await practice.change("MarkNoShow", begun)

    assert in_progress == [(60, 100)]
    assert ended_early == [(60, 100)]
    assert await practice.free(0, 600) == [(450, 500), (550, 600)]
    with pytest.raises(grpc.aio.AioRpcError, match="not free at that time"):
        await practice.book(420, 449)


async def test_an_hour_as_somebody_elses_patient_is_busy_too(practice: Practice):
    both = await practice.platform.create_user(ROLE_THERAPIST, ROLE_PATIENT)
    await practice.book(100, 150, patient_id=both.user_id)

    assert await practice.free(60, 200, therapist_id=both.user_id) == [(60, 100), (150, 200)]


async def test_the_sessions_of_others_make_no_difference(practice: Practice):
    await practice.book(100, 150, therapist_id=(await practice.platform.create_therapist()).user_id)

    assert await practice.free(60, 200) == [(60, 200)]


async def test_what_is_past_is_not_free(practice: Practice):
    await practice.book(10, 40)
    practice.platform.clock.advance(timedelta(minutes=30))

    assert await practice.free(-60, 60) == [(40, 60)]
    assert await practice.free(-60, 30) == []
    practice.platform.clock.advance(timedelta(minutes=15))
    assert await practice.free(-60, 60) == [(45, 60)]


@pytest.mark.parametrize(
    ("minutes", "free"),
    [
        (5, [(60, 100), (150, 200), (250, 300)]),
        (41, [(150, 200), (250, 300)]),
        (50, [(150, 200), (250, 300)]),
        (51, []),
    ],
)
async def test_leaves_out_what_is_too_short(practice: Practice, minutes: int, free: list[Minutes]):
    for start, end in ((100, 150), (200, 250)):
        await practice.book(start, end)

    assert await practice.free(60, 300, minimum_duration=timedelta(minutes=minutes)) == free


async def test_everybody_may_ask_who_books_sessions_and_is_told_the_same(practice: Practice):
    await practice.book(100, 150)
    request = practice.asking(60, 200)
    roles = {
        "patient": [ROLE_PATIENT],
        "therapist": [ROLE_THERAPIST],
        "support": [ROLE_SUPPORT],
        "admin": [ROLE_ADMIN],
        "operator": [ROLE_OPERATOR],
    }
    stubs: dict[str, Any] = {
        name: TherapySessionServiceStub(practice.platform.acting_as(await practice.platform.create_user(*held)))
        for name, held in roles.items()
    }
    stubs["the therapist"] = TherapySessionServiceStub(practice.platform.acting_as(practice.therapist))
    nobody: Any = TherapySessionServiceStub(practice.platform.outside)

    refused = await failure_of(stubs.pop("operator").GetAvailability(request))
    unknown = await failure_of(nobody.GetAvailability(request))
    answers = [await stub.GetAvailability(request) for stub in stubs.values()]

    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert unknown.code is grpc.StatusCode.UNAUTHENTICATED
    assert len(answers) == 5
    assert all(answer == answers[0] and len(answer.free_periods) == 2 for answer in answers)


async def test_nothing_of_a_session_is_told_but_when_it_is(practice: Practice, database_url: URL):
    session = await practice.book(100, 150)

    answer = await practice.platform.sessions.GetAvailability(practice.asking(60, 200))

    said = str(answer)
    assert not any(each in said for each in (session.session_id, session.patient_id, session.therapist_id))
    assert {field.name for field in pb.TherapistAvailability.DESCRIPTOR.fields} == {"free_periods", "time_zone"}
    assert {field.name for field in pb.FreePeriod.DESCRIPTOR.fields} == {"start_time", "end_time"}
    assert [action for action, _, _ in await audited(database_url, "mentalhealth")] == ["therapy_session.scheduled"]


async def test_who_is_no_therapist_cannot_be_told_from_nobody(practice: Practice, database_url: URL):
    platform = practice.platform
    gone = (await platform.create_therapist()).user_id
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=gone, reason="retired"))
    await until_handled(database_url, ("users", "mentalhealth"))
    patient = (await platform.create_patient()).user_id

    async def told(therapist_id: str) -> Failure:
        return await failure_of(platform.sessions.GetAvailability(practice.asking(60, 200, therapist_id=therapist_id)))

    failures = [await told(each) for each in (ABSENT, gone, patient)]

    assert {failure.code for failure in failures} == {grpc.StatusCode.NOT_FOUND}
    assert {failure.reason for failure in failures} == {"PARTICIPANT_NOT_FOUND"}
    assert {str(failure.error.metadata) for failure in failures} == {"{'participant': 'therapist'}"}
    assert len({failure.details for failure in failures}) == 1


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"therapist_id": ""}, ["therapist_id"]),
        ({"therapist_id": "x"}, ["therapist_id"]),
        ({"start_time": None}, ["start_time"]),
        ({"end_time": None}, ["end_time"]),
        ({"start_time": 200}, ["end_time"]),
        ({"start_time": 201}, ["end_time"]),
        ({"start_time": 200 - 31 * DAY - 1}, ["end_time"]),
        ({"start_time": -800 * DAY, "end_time": -799 * DAY}, ["start_time"]),
        ({"start_time": 800 * DAY, "end_time": 801 * DAY}, ["start_time"]),
        ({"end_time": Timestamp(seconds=2**60)}, ["end_time"]),
        ({"end_time": Timestamp(nanos=-1)}, ["end_time"]),
        ({"minimum_duration": Duration()}, ["minimum_duration"]),
        ({"minimum_duration": Duration(seconds=299)}, ["minimum_duration"]),
        ({"minimum_duration": Duration(seconds=8 * 3600, nanos=1)}, ["minimum_duration"]),
        ({"minimum_duration": Duration(seconds=-300)}, ["minimum_duration"]),
    ],
)
async def test_refuses_bad_queries(practice: Practice, fields: dict[str, Any], paths: list[str]):
    times = {name: practice.at(value) if isinstance(value, int) else value for name, value in fields.items()}

    failure = await failure_of(practice.platform.sessions.GetAvailability(practice.asking(60, 200, **times)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == paths


@pytest.mark.parametrize("end", [60 + 31 * DAY, 61])
async def test_admits_the_longest_and_the_shortest_time(practice: Practice, end: int):
    assert await practice.free(60, end) == [(60, end)]
