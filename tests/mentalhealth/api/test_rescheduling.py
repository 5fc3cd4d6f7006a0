from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from generated.aura.mentalhealth.v1 import therapy_session_pb2 as resource
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as pb
from tests.support.failures import failure_of
from tests.support.platform import Platform


def move(session: resource.TherapySession, *, by: timedelta, **fields: object) -> pb.RescheduleTherapySessionRequest:
    return pb.RescheduleTherapySessionRequest(
        session_id=session.session_id,
        start_time=session.start_time.ToDatetime(UTC) + by,
        end_time=session.end_time.ToDatetime(UTC) + by,
        reason="asked for it",
        **fields,
    )


async def test_moves_a_session_and_frees_its_old_time(platform: Platform):
    request = await platform.booking()
    session = await platform.sessions.ScheduleTherapySession(request)

    moved = await platform.sessions.RescheduleTherapySession(move(session, by=timedelta(hours=1)))
    other = await platform.sessions.ScheduleTherapySession(request)

    assert moved.session_id == session.session_id
    assert moved.state == resource.THERAPY_SESSION_STATE_SCHEDULED
    assert moved.start_time.ToDatetime() - session.start_time.ToDatetime() == timedelta(hours=1)
    assert moved.transitions[-1].reason == "asked for it"
    assert moved.etag != session.etag
    assert other.session_id != session.session_id


@pytest.mark.parametrize("minutes", [-20, 0, 20, 49])
async def test_is_not_blocked_by_itself(platform: Platform, minutes: int):
    session = await platform.schedule()

    moved = await platform.sessions.RescheduleTherapySession(move(session, by=timedelta(minutes=minutes)))

    assert moved.start_time.ToDatetime() - session.start_time.ToDatetime() == timedelta(minutes=minutes)


async def test_a_refused_move_leaves_the_session_where_it_was(platform: Platform):
    request = await platform.booking()
    first = await platform.sessions.ScheduleTherapySession(request)
    request.start_time.FromDatetime(request.start_time.ToDatetime() + timedelta(hours=1))
    request.end_time.FromDatetime(request.end_time.ToDatetime() + timedelta(hours=1))
    await platform.sessions.ScheduleTherapySession(request)

    failure = await failure_of(platform.sessions.RescheduleTherapySession(move(first, by=timedelta(minutes=55))))

    assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.reason == "SESSION_OVERLAPS"
    got = await platform.sessions.GetTherapySession(pb.GetTherapySessionRequest(session_id=first.session_id))
    assert got == first


async def test_a_refusal_suggests_the_next_times_at_which_both_are_free(platform: Platform):
    request = await platform.booking()
    await platform.sessions.ScheduleTherapySession(request)
    start = request.start_time.ToDatetime(UTC)
    other = await platform.booking(starts_in=timedelta(hours=1, minutes=50), minutes=30)
    other.patient_id = request.patient_id
    await platform.sessions.ScheduleTherapySession(other)

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    suggested = [datetime.fromisoformat(time) for time in failure.error.metadata["next_free_times"].split()]
    assert [time - start for time in suggested] == [
        timedelta(minutes=80),
        timedelta(minutes=130),
        timedelta(minutes=180),
    ]
    for time in suggested:
        request.start_time.FromDatetime(time)
        request.end_time.FromDatetime(time + timedelta(minutes=50))
        assert await platform.sessions.ScheduleTherapySession(request)


async def test_a_refusal_does_not_tell_whose_session_blocks(platform: Platform):
    request = await platform.booking()
    blocking = await platform.sessions.ScheduleTherapySession(request)
    with_other_patient = pb.ScheduleTherapySessionRequest()
    with_other_patient.CopyFrom(request)
    with_other_patient.patient_id = (await platform.create_patient()).user_id
    with_other_therapist = pb.ScheduleTherapySessionRequest()
    with_other_therapist.CopyFrom(request)
    with_other_therapist.therapist_id = (await platform.create_therapist()).user_id

    failures = [
        await failure_of(platform.sessions.ScheduleTherapySession(each))
        for each in (with_other_patient, with_other_therapist)
    ]

    assert failures[0].details == failures[1].details
    assert failures[0].error.metadata == failures[1].error.metadata
    told = f"{failures[0].details} {failures[0].error.metadata}"
    assert not {blocking.session_id, blocking.patient_id, blocking.therapist_id} & set(told.split())


async def test_concurrent_moves_of_one_session_are_all_made(platform: Platform):
    request = await platform.booking()
    first = await platform.sessions.ScheduleTherapySession(request)

    for _ in range(10):
        await asyncio.gather(
            *(
                platform.sessions.RescheduleTherapySession(move(first, by=timedelta(minutes=5 * step)))
                for step in range(8)
            )
        )

    got = await platform.sessions.GetTherapySession(pb.GetTherapySessionRequest(session_id=first.session_id))
    assert len(got.transitions) == 81


async def test_refuses_a_stale_etag(platform: Platform):
    session = await platform.schedule()
    await platform.sessions.RescheduleTherapySession(move(session, by=timedelta(hours=1), etag=session.etag))

    failure = await failure_of(
        platform.sessions.RescheduleTherapySession(move(session, by=timedelta(hours=2), etag=session.etag))
    )

    assert failure.code is grpc.StatusCode.ABORTED
    assert failure.reason == "ETAG_MISMATCH"


async def test_a_repeated_move_is_made_once(platform: Platform):
    session = await platform.schedule()
    request = move(session, by=timedelta(hours=1), request_id=str(uuid.uuid4()))

    moved = await asyncio.gather(*(platform.sessions.RescheduleTherapySession(request) for _ in range(5)))

    assert {each.etag for each in moved} == {moved[0].etag}
    assert len(moved[0].transitions) == 2


@pytest.mark.parametrize("change", [{"reason": ""}, {"start_time": None}, {"session_id": "x"}])
async def test_refuses_bad_moves_by_the_fields_path(platform: Platform, change: dict):
    request = move(await platform.schedule(), by=timedelta(hours=1))
    for name, value in change.items():
        request.ClearField(name)
        if value:
            setattr(request, name, value)

    failure = await failure_of(platform.sessions.RescheduleTherapySession(request))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == list(change)


async def test_a_missed_session_is_marked_after_the_grace(platform: Platform):
    session = await platform.schedule(starts_in=timedelta(minutes=5))
    mark = pb.MarkNoShowRequest(session_id=session.session_id, reason="no answer")

    early = await failure_of(platform.sessions.MarkNoShow(mark))
    platform.clock.advance(timedelta(minutes=20))
    missed = await platform.sessions.MarkNoShow(mark)

    assert early.reason == "TOO_EARLY_FOR_NO_SHOW"
    assert missed.state == resource.THERAPY_SESSION_STATE_NO_SHOW
    assert missed.transitions[-1].reason == "no answer"
