from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import grpc
import pytest

from generated.aura.mentalhealth.v1 import therapy_session_pb2 as resource
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as pb
from tests.support.failures import failure_of
from tests.support.platform import Platform


async def test_takes_a_session_from_booking_to_its_end(platform: Platform):
    booked = await platform.schedule(starts_in=timedelta(minutes=10))

    platform.clock.advance(timedelta(minutes=10))
    started = await platform.sessions.StartTherapySession(pb.StartTherapySessionRequest(session_id=booked.session_id))
    platform.clock.advance(timedelta(minutes=45))
    ended = await platform.sessions.EndTherapySession(
        pb.EndTherapySessionRequest(session_id=booked.session_id, reason="done early")
    )

    assert [booked.state, started.state, ended.state] == [
        resource.THERAPY_SESSION_STATE_SCHEDULED,
        resource.THERAPY_SESSION_STATE_IN_PROGRESS,
        resource.THERAPY_SESSION_STATE_COMPLETED,
    ]
    assert ended.actual_end_time.ToDatetime() - ended.actual_start_time.ToDatetime() == timedelta(minutes=45)
    assert [(change.to_state, change.actor, change.reason) for change in ended.transitions] == [
        (resource.THERAPY_SESSION_STATE_SCHEDULED, "local", ""),
        (resource.THERAPY_SESSION_STATE_IN_PROGRESS, "local", ""),
        (resource.THERAPY_SESSION_STATE_COMPLETED, "local", "done early"),
    ]
    assert len({booked.etag, started.etag, ended.etag}) == 3
    got = await platform.sessions.GetTherapySession(pb.GetTherapySessionRequest(session_id=booked.session_id))
    assert got == ended


async def test_cancelling_frees_the_time(platform: Platform):
    request = await platform.booking()
    first = await platform.sessions.ScheduleTherapySession(request)

    cancelled = await platform.sessions.CancelTherapySession(
        pb.CancelTherapySessionRequest(
            session_id=first.session_id, cancelled_by=resource.CANCELLING_PARTY_PATIENT, reason="is ill"
        )
    )
    second = await platform.sessions.ScheduleTherapySession(request)

    assert cancelled.state == resource.THERAPY_SESSION_STATE_CANCELLED
    assert cancelled.cancelled_by == resource.CANCELLING_PARTY_PATIENT
    assert cancelled.transitions[-1].reason == "is ill"
    assert second.session_id != first.session_id


async def test_refuses_an_overlap_without_telling_whose(platform: Platform):
    request = await platform.booking()
    await platform.sessions.ScheduleTherapySession(request)
    request.patient_id = (await platform.create_patient()).user_id

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.reason == "SESSION_OVERLAPS"
    assert "therapist or the patient" in failure.details


async def test_a_repeated_request_id_books_once_even_at_the_same_time(platform: Platform):
    request = await platform.booking()
    request.request_id = str(uuid.uuid4())

    sessions = await asyncio.gather(*(platform.sessions.ScheduleTherapySession(request) for _ in range(10)))

    assert len({session.session_id for session in sessions}) == 1


async def test_a_repeated_start_changes_nothing_and_returns_the_session_as_it_is_now(platform: Platform):
    booked = await platform.schedule(starts_in=timedelta(minutes=5))
    start = pb.StartTherapySessionRequest(session_id=booked.session_id, request_id="start-once")
    await platform.sessions.StartTherapySession(start)
    ended = await platform.sessions.EndTherapySession(pb.EndTherapySessionRequest(session_id=booked.session_id))

    repeated = await platform.sessions.StartTherapySession(start)

    assert repeated == ended


@pytest.mark.parametrize("attempt", ["end", "start twice", "cancel in progress", "start cancelled"])
async def test_refuses_illegal_transitions(platform: Platform, attempt: str):
    session_id = (await platform.schedule(starts_in=timedelta(minutes=5))).session_id
    start = pb.StartTherapySessionRequest(session_id=session_id)
    cancel = pb.CancelTherapySessionRequest(
        session_id=session_id, cancelled_by=resource.CANCELLING_PARTY_CLINIC, reason="closed"
    )
    match attempt:
        case "end":
            call = platform.sessions.EndTherapySession(pb.EndTherapySessionRequest(session_id=session_id))
        case "start twice":
            await platform.sessions.StartTherapySession(start)
            call = platform.sessions.StartTherapySession(start)
        case "cancel in progress":
            await platform.sessions.StartTherapySession(start)
            call = platform.sessions.CancelTherapySession(cancel)
        case _:
            await platform.sessions.CancelTherapySession(cancel)
            call = platform.sessions.StartTherapySession(start)

    failure = await failure_of(call)

    assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.reason == "ILLEGAL_TRANSITION"


async def test_of_ten_concurrent_starts_one_succeeds(platform: Platform):
    session_id = (await platform.schedule(starts_in=timedelta(minutes=5))).session_id
    calls = [
        platform.sessions.StartTherapySession(pb.StartTherapySessionRequest(session_id=session_id)) for _ in range(10)
    ]

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(outcome, resource.TherapySession) for outcome in outcomes) == 1


async def test_does_not_start_a_session_long_before_its_time(platform: Platform):
    session_id = (await platform.schedule(starts_in=timedelta(hours=5))).session_id

    failure = await failure_of(
        platform.sessions.StartTherapySession(pb.StartTherapySessionRequest(session_id=session_id))
    )

    assert failure.reason == "TOO_EARLY_TO_START"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"therapist_id": ""}, "therapist_id"),
        ({"patient_id": "x" * 10_000}, "patient_id"),
        ({"time_zone": "x" * 10_000}, "time_zone"),
        ({"time_zone": "Nowhere"}, "time_zone"),
        ({"request_id": "x" * 10_000}, "request_id"),
    ],
)
async def test_refuses_bad_fields_by_their_path(platform: Platform, change: dict, path: str):
    request = await platform.booking()
    request.MergeFrom(pb.ScheduleTherapySessionRequest(**change))
    for name, value in change.items():
        setattr(request, name, value)

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert path in failure.fields


@pytest.mark.parametrize(
    ("starts_in", "minutes", "path"),
    [
        (60, 0, "end_time"),
        (60, -10, "end_time"),
        (60, 4, "end_time"),
        (60, 481, "end_time"),
        (-6, 50, "start_time"),
        (60 * 24 * 800, 50, "start_time"),
    ],
)
async def test_refuses_bad_times(platform: Platform, starts_in: int, minutes: int, path: str):
    request = await platform.booking(starts_in=timedelta(minutes=starts_in), minutes=minutes)

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == [path]


async def test_refuses_one_person_as_both(platform: Platform):
    request = await platform.booking()
    request.patient_id = request.therapist_id

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    assert failure.fields == ["patient_id"]


async def test_does_not_find_an_unknown_session(platform: Platform):
    failure = await failure_of(
        platform.sessions.GetTherapySession(pb.GetTherapySessionRequest(session_id=str(uuid.uuid4())))
    )

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.reason == "SESSION_NOT_FOUND"


@pytest.mark.parametrize(
    "change", [{"cancelled_by": 0}, {"cancelled_by": 77}, {"reason": ""}, {"reason": "x" * 10_000}]
)
async def test_refuses_a_cancellation_without_party_or_reason(platform: Platform, change: dict):
    session_id = (await platform.schedule()).session_id
    request = {"session_id": session_id, "cancelled_by": 1, "reason": "is ill", **change}

    failure = await failure_of(platform.sessions.CancelTherapySession(pb.CancelTherapySessionRequest(**request)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == list(change)
