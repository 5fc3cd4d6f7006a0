"""What becomes of users and sessions is told to other modules, and acted on: once, in order, in every topology."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from sqlalchemy import URL, text

from aura.kernel.database import Database
from aura.kernel.interceptors.identity import CALLER_MODULE, CALLER_USER
from generated.aura.events.v1 import event_pb2, subscriber_service_pb2
from generated.aura.events.v1.subscriber_service_pb2_grpc import SubscriberServiceStub
from generated.aura.mentalhealth.v1 import therapy_session_pb2 as pb
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import (
    CancelTherapySessionRequest,
    GetTherapySessionRequest,
    ScheduleTherapySessionRequest,
)
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT
from generated.aura.users.v1.events_pb2 import UserDeactivated, UserReactivated, UserRegistered
from generated.aura.users.v1.user_service_pb2 import DeactivateUserRequest, ReactivateUserRequest
from tests.support.events import published
from tests.support.failures import failure_of
from tests.support.platform import Platform


async def cancelled(platform: Platform, session_id: str) -> Any:
    """Waits until a session is cancelled; returns it."""
    async with asyncio.timeout(10):
        while True:
            session = await platform.sessions.GetTherapySession(GetTherapySessionRequest(session_id=session_id))
            if session.state == pb.THERAPY_SESSION_STATE_CANCELLED:
                return session
            await asyncio.sleep(0.02)


async def deactivate(platform: Platform, user_id: str) -> None:
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=user_id, reason="moved away"))


async def types_of(database: Database) -> list[str]:
    schema = database.engine.url.username.removeprefix("aura_")
    rows = await database.execute(text(f"SELECT event_type FROM {schema}.outbox_events ORDER BY event_id"))
    return [row.event_type for row in rows]


async def test_users_tell_what_becomes_of_them(platform: Platform, database_url: URL):
    user = await platform.create_patient()
    await deactivate(platform, user.user_id)
    await platform.users.ReactivateUser(ReactivateUserRequest(user_id=user.user_id, reason="back"))

    assert await published(database_url, "users") == [
        UserRegistered(user_id=user.user_id, roles=[ROLE_PATIENT]),
        UserDeactivated(user_id=user.user_id),
        UserReactivated(user_id=user.user_id),
    ]


async def test_sessions_tell_what_becomes_of_them(platform: Platform, mentalhealth_database: Database):
    session = await platform.schedule()
    request = CancelTherapySessionRequest(
        session_id=session.session_id, cancelled_by=pb.CANCELLING_PARTY_PATIENT, reason="ill"
    )
    await platform.sessions.CancelTherapySession(request)

    assert await types_of(mentalhealth_database) == ["therapy_session.scheduled", "therapy_session.cancelled"]


async def test_a_request_that_comes_again_tells_nothing_twice(platform: Platform, mentalhealth_database: Database):
    booking = await platform.booking()
    booking.request_id = "once"
    for _ in range(3):
        await platform.sessions.ScheduleTherapySession(booking)

    assert await types_of(mentalhealth_database) == ["therapy_session.scheduled"]


@pytest.mark.parametrize("participant", ["therapist", "patient"])
async def test_whoever_is_deactivated_is_taken_off_the_calendar(
    platform: Platform, mentalhealth_database: Database, participant: str
):
    soon = await platform.booking(starts_in=timedelta(hours=1))
    later = ScheduleTherapySessionRequest()
    later.CopyFrom(soon)
    later.start_time.FromDatetime(soon.start_time.ToDatetime() + timedelta(days=1))
    later.end_time.FromDatetime(soon.end_time.ToDatetime() + timedelta(days=1))
    sessions = [await platform.sessions.ScheduleTherapySession(each) for each in (soon, later)]
    other = await platform.schedule(starts_in=timedelta(hours=2))

    await deactivate(platform, getattr(soon, f"{participant}_id"))
    found = [await cancelled(platform, session.session_id) for session in sessions]

    assert {session.cancelled_by for session in found} == {pb.CANCELLING_PARTY_CLINIC}
    assert found[0].transitions[-1].reason == "the account of a participant was deactivated"
    kept = await platform.sessions.GetTherapySession(GetTherapySessionRequest(session_id=other.session_id))
    assert kept.state == pb.THERAPY_SESSION_STATE_SCHEDULED
    assert (await types_of(mentalhealth_database)).count("therapy_session.cancelled") == 2


async def test_sessions_that_have_begun_are_left_alone(platform: Platform):
    begun = await platform.schedule(starts_in=timedelta(minutes=1))
    platform.clock.advance(timedelta(minutes=2))
    marker = await platform.booking(starts_in=timedelta(hours=3))
    marker.patient_id = begun.patient_id
    next_one = await platform.sessions.ScheduleTherapySession(marker)

    await deactivate(platform, begun.patient_id)
    await cancelled(platform, next_one.session_id)

    session = await platform.sessions.GetTherapySession(GetTherapySessionRequest(session_id=begun.session_id))
    assert session.state == pb.THERAPY_SESSION_STATE_SCHEDULED


async def test_no_session_slips_in_beside_a_deactivation(platform: Platform, mentalhealth_database: Database):
    therapist, patient = await platform.create_therapist(), await platform.create_patient()

    async def book(number: int) -> str:
        start = platform.clock.now() + timedelta(hours=number + 1)
        request = ScheduleTherapySessionRequest(
            therapist_id=therapist.user_id,
            patient_id=patient.user_id,
            start_time=start,
            end_time=start + timedelta(minutes=50),
        )
        try:
            return (await platform.sessions.ScheduleTherapySession(request)).session_id
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.FAILED_PRECONDITION, error.details()  # noqa: PT017 many at once
            return ""

    bookings = [asyncio.create_task(book(number)) for number in range(40)]
    await asyncio.sleep(0.05)
    await deactivate(platform, patient.user_id)
    made = [session_id for session_id in await asyncio.gather(*bookings) if session_id]

    for session_id in made:
        await cancelled(platform, session_id)
    left = await mentalhealth_database.execute(
        text("SELECT count(*) AS n FROM mentalhealth.therapy_sessions WHERE state = 'SCHEDULED'")
    )
    assert left[0].n == 0


async def test_whoever_is_reactivated_can_be_booked_again(platform: Platform):
    session = await platform.schedule()
    await deactivate(platform, session.patient_id)
    await cancelled(platform, session.session_id)
    request = await platform.booking()
    request.patient_id = session.patient_id
    refused = await failure_of(platform.sessions.ScheduleTherapySession(request))

    await platform.users.ReactivateUser(ReactivateUserRequest(user_id=session.patient_id, reason="back"))

    assert refused.reason == "PARTICIPANT_INACTIVE"
    async with asyncio.timeout(10):
        while True:
            try:
                await platform.sessions.ScheduleTherapySession(request)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.02)
            else:
                break


# Delivery by hand


def delivery(user_id: str, *, sequence: int = 1, **changes: Any) -> subscriber_service_pb2.DeliverRequest:
    event = event_pb2.Event(
        type="user.deactivated", subject=user_id, source="users", sequence=sequence, actor={"user_id": "ada"}
    )
    event.data.Pack(UserDeactivated(user_id=user_id))
    for name, value in changes.items():
        if name == "data":
            event.data.value = value
        else:
            setattr(event, name, value)
    return subscriber_service_pb2.DeliverRequest(subscriber="mentalhealth", event=event)


def as_module(platform: Platform, module: str) -> Any:
    """A stub as the relay of a module has it."""
    identity = {CALLER_MODULE: (module.encode(),), CALLER_USER: (b"local",)}
    return SubscriberServiceStub(platform.host._in_process.channel(auth_context=lambda: identity))


@pytest.mark.parametrize(
    ("module", "changes"),
    [
        ("mentalhealth", {}),
        ("users", {"source": "mentalhealth"}),
        ("users", {"type": "user.registered"}),
        ("users", {"type": "therapy_session.ended"}),
    ],
)
async def test_only_publishers_deliver_and_only_to_subscribers(platform: Platform, module: str, changes):
    stub = as_module(platform, module)

    failure = await failure_of(stub.Deliver(delivery("0190a000-0000-7000-8000-000000000001", **changes)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "UNDECLARED_SUBSCRIPTION")


async def test_an_event_that_comes_again_has_no_second_effect(platform: Platform, mentalhealth_database: Database):
    session = await platform.schedule()
    stub, request = as_module(platform, "users"), delivery(session.patient_id)

    first = await stub.Deliver(request)
    again = await asyncio.gather(*(stub.Deliver(request) for _ in range(10)))

    assert not first.repeated
    assert all(answer.repeated for answer in again)
    assert (await types_of(mentalhealth_database)).count("therapy_session.cancelled") == 1


async def test_of_deliveries_at_once_one_has_an_effect(platform: Platform, mentalhealth_database: Database):
    session = await platform.schedule()
    stub = as_module(platform, "users")

    answers = await asyncio.gather(*(stub.Deliver(delivery(session.patient_id)) for _ in range(10)))

    assert sorted(answer.repeated for answer in answers) == [False] + [True] * 9
    assert (await types_of(mentalhealth_database)).count("therapy_session.cancelled") == 1


async def test_an_event_out_of_order_is_refused(platform: Platform):
    user_id = (await platform.create_patient()).user_id

    failure = await failure_of(as_module(platform, "users").Deliver(delivery(user_id, sequence=2)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "EVENT_OUT_OF_ORDER")


async def test_an_event_that_cannot_be_decoded_is_refused(platform: Platform, database_url: URL):
    user_id = (await platform.create_patient()).user_id

    failure = await failure_of(as_module(platform, "users").Deliver(delivery(user_id, data=b"\xff\xff")))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "EVENT_UNDECODABLE")


async def test_an_event_passed_over_counts_as_handled_and_has_no_effect(platform: Platform):
    session = await platform.schedule()
    stub, request = as_module(platform, "users"), delivery(session.patient_id)
    request.discarded = True

    assert not (await stub.Deliver(request)).repeated
    assert (await stub.Deliver(delivery(session.patient_id))).repeated

    kept = await platform.sessions.GetTherapySession(GetTherapySessionRequest(session_id=session.session_id))
    assert kept.state == pb.THERAPY_SESSION_STATE_SCHEDULED
