"""Emergency access: read, for a while, with a reason, and told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.audit import AuditTrail
from aura.kernel.database import sync_url
from generated.aura.mentalhealth.v1 import emergency_access_service_pb2 as pb
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as sessions_pb
from generated.aura.mentalhealth.v1.emergency_access_pb2 import EmergencyAccess
from generated.aura.mentalhealth.v1.emergency_access_service_pb2_grpc import EmergencyAccessServiceStub
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_PATIENT, ROLE_SUPPORT, ROLE_THERAPIST
from tests.support.accounts import audited
from tests.support.events import published
from tests.support.failures import failure_of
from tests.support.platform import Platform

WHY = "threatened to harm herself, her own therapist is away"


class Emergency:
    """A patient's session, and a therapist whose patient she is not."""

    def __init__(self, platform: Platform, session: Any, therapist: Any) -> None:
        self.platform = platform
        self.session = session
        self.therapist = therapist
        channel = platform.acting_as(therapist)
        self.accesses: Any = EmergencyAccessServiceStub(channel)
        self.sessions: Any = TherapySessionServiceStub(channel)

    async def begin(self, **fields: Any) -> EmergencyAccess:
        request = {"patient_id": self.session.patient_id, "reason": WHY, **fields}
        return await self.accesses.BeginEmergencyAccess(pb.BeginEmergencyAccessRequest(**request))

    def get(self) -> Any:
        return self.sessions.GetTherapySession(sessions_pb.GetTherapySessionRequest(session_id=self.session.session_id))

    async def listed(self, **where: str) -> list[str]:
        answer = await self.sessions.ListTherapySessions(sessions_pb.ListTherapySessionsRequest(**where))
        return [session.session_id for session in answer.sessions]


@pytest.fixture
async def emergency(platform: Platform) -> Emergency:
    session = await platform.schedule()
    start = sessions_pb.StartTherapySessionRequest(session_id=session.session_id, reason="speaks of dying")
    platform.clock.advance(timedelta(hours=1))
    await platform.sessions.StartTherapySession(start)
    return Emergency(platform, session, await platform.create_therapist())


async def test_it_shows_the_patients_sessions_while_it_lasts(emergency: Emergency):
    before = await failure_of(emergency.get())
    access = await emergency.begin()
    shown = await emergency.get()
    listed = await emergency.listed(patient_id=emergency.session.patient_id)
    own = await emergency.listed()
    emergency.platform.clock.advance(timedelta(hours=1))
    after = await failure_of(emergency.get())

    assert before.reason == after.reason == "SESSION_NOT_FOUND"
    assert [each.reason for each in shown.transitions] == ["", "speaks of dying"]
    assert listed == [emergency.session.session_id]
    assert own == []
    assert access.expire_time.seconds - access.create_time.seconds == 3600
    assert await emergency.listed(patient_id=emergency.session.patient_id) == []


async def test_it_ends_at_once_when_it_is_ended(emergency: Emergency):
    access = await emergency.begin(duration={"seconds": 28_800})
    await emergency.get()
    ended = await emergency.accesses.EndEmergencyAccess(pb.EndEmergencyAccessRequest(access_id=access.access_id))
    again = await emergency.accesses.EndEmergencyAccess(pb.EndEmergencyAccessRequest(access_id=access.access_id))

    assert (await failure_of(emergency.get())).reason == "SESSION_NOT_FOUND"
    assert ended.HasField("end_time")
    assert again == ended


async def test_it_lets_nothing_be_changed(emergency: Emergency):
    await emergency.begin()
    request = sessions_pb.EndTherapySessionRequest(session_id=emergency.session.session_id)

    assert (await failure_of(emergency.sessions.EndTherapySession(request))).reason == "SESSION_NOT_FOUND"


async def test_it_stands_in_the_audit_trail_and_is_told(emergency: Emergency, database_url: URL):
    access = await emergency.begin()
    await emergency.get()
    await emergency.accesses.EndEmergencyAccess(pb.EndEmergencyAccessRequest(access_id=access.access_id))

    entries = await audited(database_url, "mentalhealth")
    begun, read, ended = (entry for entry in entries[-3:])
    (event,) = [
        each for each in await published(database_url, "mentalhealth") if type(each).__name__ == "EmergencyAccessBegun"
    ]
    whose = {"user_id": emergency.therapist.user_id, "patient_id": emergency.session.patient_id}
    assert begun == ("emergency_access.begun", access.access_id, whose)
    assert read[0] == "therapy_session.read"
    assert read[2]["emergency_access_id"] == access.access_id
    assert ended == ("emergency_access.ended", access.access_id, whose)
    assert (event.access_id, event.user_id) == (access.access_id, emergency.therapist.user_id)
    assert WHY not in str(entries) + str(event)


async def test_without_its_entry_in_the_audit_trail_there_is_none(
    emergency: Emergency, database_url: URL, monkeypatch: pytest.MonkeyPatch
):
    async def fail(*_: Any) -> None:
        raise RuntimeError("the trail is full")

    with monkeypatch.context() as patched:
        patched.setattr(AuditTrail, "write", fail)
        refused = await failure_of(emergency.begin())

    assert refused.code is grpc.StatusCode.INTERNAL
    assert (await failure_of(emergency.get())).reason == "SESSION_NOT_FOUND"
    connection = await asyncpg.connect(sync_url(database_url))
    assert await connection.fetchval("SELECT count(*) FROM mentalhealth.emergency_accesses") == 0
    await connection.close()


async def test_it_is_for_therapists_and_another_therapist_cannot_end_it(emergency: Emergency):
    platform = emergency.platform
    access = await emergency.begin()
    request = pb.BeginEmergencyAccessRequest(patient_id=emergency.session.patient_id, reason=WHY)
    for role in (ROLE_PATIENT, ROLE_SUPPORT, ROLE_ADMIN):
        stub: Any = EmergencyAccessServiceStub(platform.acting_as(await platform.create_user(role)))
        assert (await failure_of(stub.BeginEmergencyAccess(request))).reason == "CALLER_NOT_ADMITTED"

    other: Any = EmergencyAccessServiceStub(platform.acting_as(await platform.create_therapist()))
    end = pb.EndEmergencyAccessRequest(access_id=access.access_id)
    assert (await failure_of(other.EndEmergencyAccess(end))).reason == "EMERGENCY_ACCESS_NOT_FOUND"
    assert not (await other.ListEmergencyAccesses(pb.ListEmergencyAccessesRequest())).accesses
    foreign = pb.ListEmergencyAccessesRequest(user_id=emergency.therapist.user_id)
    assert not (await other.ListEmergencyAccesses(foreign)).accesses


async def test_admins_see_them_all_page_by_page(emergency: Emergency):
    made = [(await emergency.begin()).access_id for _ in range(3)]
    admin: Any = EmergencyAccessServiceStub(
        emergency.platform.acting_as(await emergency.platform.create_user(ROLE_ADMIN))
    )

    first = await admin.ListEmergencyAccesses(pb.ListEmergencyAccessesRequest(page_size=2))
    second = await admin.ListEmergencyAccesses(
        pb.ListEmergencyAccessesRequest(page_size=2, page_token=first.next_page_token)
    )

    assert [each.access_id for each in (*first.accesses, *second.accesses)] == made[::-1]
    assert {each.reason for each in first.accesses} == {WHY}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reason": "short"}, "reason"),
        ({"duration": {"seconds": 28_801}}, "duration"),
        ({"patient_id": "x"}, "patient_id"),
    ],
)
async def test_bad_requests_name_the_field(emergency: Emergency, fields: dict[str, Any], field: str):
    assert (await failure_of(emergency.begin(**fields))).fields == [field]


async def test_a_patient_who_is_none_is_not_found_and_a_repeated_request_begins_one(emergency: Emergency):
    unknown = await failure_of(emergency.begin(patient_id="01900000-0000-7000-8000-000000000000"))
    once = await emergency.begin(request_id="once")

    assert unknown.reason == "PARTICIPANT_NOT_FOUND"
    assert (await emergency.begin(request_id="once")).access_id == once.access_id


async def test_it_shows_remarks_to_who_sees_bookings_anyway(emergency: Emergency):
    assistant = await emergency.platform.create_user(ROLE_SUPPORT, ROLE_THERAPIST)
    other = Emergency(emergency.platform, emergency.session, assistant)
    before = await other.get()
    await other.begin()

    assert [each.reason for each in before.transitions] == ["", ""]
    assert [each.reason for each in (await other.get()).transitions] == ["", "speaks of dying"]
    assert len((await other.accesses.ListEmergencyAccesses(pb.ListEmergencyAccessesRequest())).accesses) == 1


async def test_its_end_stands_in_the_trail_once(emergency: Emergency, database_url: URL):
    access = await emergency.begin()
    for _ in range(3):
        await emergency.accesses.EndEmergencyAccess(pb.EndEmergencyAccessRequest(access_id=access.access_id))

    actions = [action for action, *_ in await audited(database_url, "mentalhealth")]
    assert actions.count("emergency_access.ended") == 1
