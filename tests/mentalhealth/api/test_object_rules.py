"""Whose sessions are whose to see and to change; what is not theirs answers as what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest

from generated.aura.mentalhealth.v1 import therapy_session_pb2
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as pb
from generated.aura.mentalhealth.v1.therapy_session_pb2 import TherapySession
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import (
    ROLE_ADMIN,
    ROLE_OPERATOR,
    ROLE_PATIENT,
    ROLE_SUPPORT,
    ROLE_THERAPIST,
)
from tests.support.failures import failure_of
from tests.support.platform import Platform

ABSENT = "01900000-0000-7000-8000-000000000000"
PATIENT, THERAPIST = (
    therapy_session_pb2.CANCELLING_PARTY_PATIENT,
    therapy_session_pb2.CANCELLING_PARTY_THERAPIST,
)
EVERYBODY = ("patient", "other patient", "therapist", "other therapist", "support", "admin", "operator", "both")


@dataclass
class Clinic:
    """People, and a session of the therapist with the patient."""

    platform: Platform
    people: dict[str, Any]
    session: TherapySession

    def __getitem__(self, name: str) -> Any:
        """The sessions, as somebody calls them."""
        return TherapySessionServiceStub(self.platform.acting_as(self.people[name]))

    def id_of(self, name: str) -> str:
        return self.people[name].user_id

    def booking(self, therapist: str, patient: str, *, hours: int = 30) -> pb.ScheduleTherapySessionRequest:
        start = self.platform.clock.now() + timedelta(hours=hours)
        return pb.ScheduleTherapySessionRequest(
            therapist_id=self.id_of(therapist),
            patient_id=self.id_of(patient),
            start_time=start,
            end_time=start + timedelta(minutes=50),
        )


@pytest.fixture
async def clinic(platform: Platform) -> Clinic:
    roles = {
        "patient": [ROLE_PATIENT],
        "other patient": [ROLE_PATIENT],
        "therapist": [ROLE_THERAPIST],
        "other therapist": [ROLE_THERAPIST],
        "support": [ROLE_SUPPORT],
        "admin": [ROLE_ADMIN],
        "operator": [ROLE_OPERATOR],
        "both": [ROLE_PATIENT, ROLE_THERAPIST],
    }
    made = Clinic(platform, {name: await platform.create_user(*held) for name, held in roles.items()}, TherapySession())
    request = made.booking("therapist", "patient", hours=0)
    made.session = await platform.sessions.ScheduleTherapySession(request)
    return made


async def codes(clinic: Clinic, call: Any) -> dict[str, str]:
    return {name: (await call(clinic[name]).code()).name for name in EVERYBODY}


async def test_a_session_is_seen_by_those_whose_it_is(clinic: Clinic):
    request = pb.GetTherapySessionRequest(session_id=clinic.session.session_id)

    assert await codes(clinic, lambda sessions: sessions.GetTherapySession(request)) == {
        "patient": "OK",
        "other patient": "NOT_FOUND",
        "therapist": "OK",
        "other therapist": "NOT_FOUND",
        "support": "OK",
        "admin": "OK",
        "operator": "PERMISSION_DENIED",
        "both": "NOT_FOUND",
    }


@pytest.mark.parametrize("name", ["other patient", "other therapist", "both"])
async def test_a_foreign_session_answers_as_one_that_is_not_there(clinic: Clinic, name: str):
    sessions = clinic[name]
    foreign, absent = [
        await failure_of(sessions.GetTherapySession(pb.GetTherapySessionRequest(session_id=session_id)))
        for session_id in (clinic.session.session_id, ABSENT)
    ]
    changed, missing = [
        await failure_of(
            sessions.CancelTherapySession(
                pb.CancelTherapySessionRequest(session_id=session_id, cancelled_by=PATIENT, reason="no")
            )
        )
        for session_id in (clinic.session.session_id, ABSENT)
    ]

    for one, other in ((foreign, absent), (changed, missing)):
        assert (one.code, one.details, one.reason) == (other.code, other.details, other.reason)
    assert foreign.reason == "SESSION_NOT_FOUND"


async def test_a_session_is_started_by_its_therapist_and_not_by_its_patient(clinic: Clinic):
    request = pb.StartTherapySessionRequest(session_id=clinic.session.session_id)
    booking = clinic.booking("therapist", "both", hours=1)
    as_patient = await clinic.platform.sessions.ScheduleTherapySession(booking)
    own = pb.StartTherapySessionRequest(session_id=as_patient.session_id)

    assert (await clinic["both"].StartTherapySession(own).code()).name == "NOT_FOUND"
    assert await codes(clinic, lambda sessions: sessions.StartTherapySession(request)) == {
        "patient": "PERMISSION_DENIED",
        "other patient": "PERMISSION_DENIED",
        "therapist": "OK",
        "other therapist": "NOT_FOUND",
        "support": "PERMISSION_DENIED",
        "admin": "FAILED_PRECONDITION",
        "operator": "PERMISSION_DENIED",
        "both": "NOT_FOUND",
    }


async def test_patients_book_for_themselves_and_therapists_their_own(clinic: Clinic):
    request = clinic.booking("therapist", "patient")
    absent = clinic.booking("therapist", "patient", hours=40)
    absent.therapist_id = ABSENT
    absent.patient_id = "01900000-0000-7000-8000-000000000001"

    for name in ("other patient", "other therapist", "both"):
        failures = [await failure_of(clinic[name].ScheduleTherapySession(each)) for each in (request, absent)]
        assert {failure.reason for failure in failures} == {"BOOKING_NOT_ADMITTED"}
        assert len({failure.details for failure in failures}) == 1
    for hours, name in enumerate(("patient", "therapist", "support", "admin"), start=50):
        request = clinic.booking("therapist", "patient", hours=hours)
        assert (await clinic[name].ScheduleTherapySession(request)).session_id


async def test_a_patient_cancels_in_no_name_but_their_own(clinic: Clinic):
    def cancel(by: Any) -> Any:
        return pb.CancelTherapySessionRequest(session_id=clinic.session.session_id, cancelled_by=by, reason="ill")

    refused = await failure_of(clinic["patient"].CancelTherapySession(cancel(THERAPIST)))
    cancelled = await clinic["patient"].CancelTherapySession(cancel(PATIENT))

    assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["cancelled_by"])
    assert cancelled.cancelled_by == PATIENT


async def test_lists_hold_what_is_the_callers_to_see(clinic: Clinic):
    platform = clinic.platform
    others = await platform.sessions.ScheduleTherapySession(clinic.booking("other therapist", "other patient"))
    mixed = await platform.sessions.ScheduleTherapySession(clinic.booking("both", "patient", hours=40))
    received = await platform.sessions.ScheduleTherapySession(clinic.booking("therapist", "both", hours=50))
    everything = {each.session_id for each in (clinic.session, others, mixed, received)}

    async def listed(name: str, **where: Any) -> set[str]:
        answer = await clinic[name].ListTherapySessions(pb.ListTherapySessionsRequest(**where))
        return {each.session_id for each in answer.sessions}

    assert await listed("patient") == {clinic.session.session_id, mixed.session_id}
    assert await listed("therapist") == {clinic.session.session_id, received.session_id}
    assert await listed("both") == {mixed.session_id, received.session_id}
    assert await listed("other therapist", patient_id=clinic.id_of("patient")) == set()
    assert await listed("patient", therapist_id=clinic.id_of("other therapist")) == set()
    assert await listed("support") == await listed("admin") == everything


async def test_therapists_count_their_own_sessions(clinic: Clinic):
    await clinic.platform.sessions.ScheduleTherapySession(clinic.booking("other therapist", "other patient"))
    day = clinic.platform.clock.now().date()
    dates = {
        "start_date": {"year": day.year, "month": day.month, "day": day.day},
        "end_date": {"year": day.year + 1, "month": day.month, "day": min(day.day, 28)},
    }

    async def counted(name: str, **where: str) -> list[str]:
        answer = await clinic[name].GetStatistics(pb.GetStatisticsRequest(**dates, **where))
        return sorted(row.therapist_id for row in answer.rows)

    both = sorted([clinic.id_of("therapist"), clinic.id_of("other therapist")])
    assert await counted("therapist") == [clinic.id_of("therapist")]
    assert await counted("therapist", therapist_id=clinic.id_of("other therapist")) == []
    assert await counted("admin") == both


async def test_support_sees_bookings_and_nothing_that_was_said_of_them(clinic: Clinic):
    session_id = clinic.session.session_id
    await clinic["therapist"].StartTherapySession(
        pb.StartTherapySessionRequest(session_id=session_id, reason="very agitated today")
    )
    request = pb.GetTherapySessionRequest(session_id=session_id)

    remarks = {
        name: [each.reason for each in (await clinic[name].GetTherapySession(request)).transitions]
        for name in ("patient", "therapist", "support", "admin")
    }

    assert remarks.pop("support") == ["", ""]
    assert all(said == ["", "very agitated today"] for said in remarks.values())


async def test_page_tokens_are_their_holders(clinic: Clinic):
    for hours in (60, 62):
        await clinic.platform.sessions.ScheduleTherapySession(clinic.booking("therapist", "patient", hours=hours))
    page = await clinic["patient"].ListTherapySessions(pb.ListTherapySessionsRequest(page_size=1))
    request = pb.ListTherapySessionsRequest(page_size=1, page_token=page.next_page_token)

    stolen = await failure_of(clinic["other patient"].ListTherapySessions(request))

    assert stolen.reason == "PAGE_TOKEN_INVALID"
    assert len((await clinic["patient"].ListTherapySessions(request)).sessions) == 1


async def test_request_ids_are_their_users(clinic: Clinic):
    request = clinic.booking("therapist", "patient", hours=70)
    request.request_id = "the same"
    made = await clinic["patient"].ScheduleTherapySession(request)
    other = clinic.booking("therapist", "other patient", hours=72)
    other.request_id = "the same"

    assert (await clinic["patient"].ScheduleTherapySession(request)).session_id == made.session_id
    assert (await clinic["other patient"].ScheduleTherapySession(other)).session_id != made.session_id


async def test_two_roles_together_open_no_more_than_each(clinic: Clinic):
    clinic.people["assistant"] = await clinic.platform.create_user(ROLE_SUPPORT, ROLE_THERAPIST)
    session_id = clinic.session.session_id
    start = pb.StartTherapySessionRequest(session_id=session_id)
    day = {"year": 2026, "month": 1, "day": 1}
    statistics = pb.GetStatisticsRequest(start_date=day, end_date={**day, "month": 12})

    assert (await failure_of(clinic["assistant"].StartTherapySession(start))).reason == "SESSION_NOT_FOUND"
    assert not (await clinic["assistant"].GetStatistics(statistics)).rows
    seen = await clinic["assistant"].GetTherapySession(pb.GetTherapySessionRequest(session_id=session_id))
    assert seen.session_id == session_id
