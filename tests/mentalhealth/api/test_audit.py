"""Who was shown which sessions, and who changed them, is in the module's audit trail before the caller knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from dishka import Provider, Scope
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.mentalhealth.api.servicers import TherapySessionServicer
from generated.aura.mentalhealth.v1 import therapy_session_service_pb2 as pb
from generated.aura.mentalhealth.v1.therapy_session_pb2 import CANCELLING_PARTY_PATIENT, TherapySession
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.users.v1.user_service_pb2 import DeactivateUserRequest
from tests.support.accounts import audited
from tests.support.events import until_handled
from tests.support.failures import failure_of
from tests.support.platform import Platform, running_platform
from tests.support.root import as_root

REASON = "Ada told me that she cannot sleep"
Entry = tuple[str, str, dict[str, str]]


async def entries(url: URL) -> list[Entry]:
    return await audited(url, "mentalhealth")


def changed(action: str, session: TherapySession) -> Entry:
    people = {"therapist_id": session.therapist_id, "patient_id": session.patient_id}
    return (f"therapy_session.{action}", session.session_id, people)


def read(session: TherapySession) -> Entry:
    return ("therapy_session.read", session.session_id, {"patient_id": session.patient_id})


async def change(platform: Platform, method: str, session: TherapySession, **fields: Any) -> TherapySession:
    request = getattr(pb, f"{method}Request")(session_id=session.session_id, reason=REASON, **fields)
    return await getattr(platform.sessions, method)(request)


async def test_every_change_of_a_session_is_written_down(platform: Platform, database_url: URL):
    held, moved, missed = [await platform.schedule(starts_in=timedelta(0)) for _ in "abc"]
    await change(platform, "StartTherapySession", held)
    await change(platform, "EndTherapySession", held)
    times = {"start_time": missed.start_time, "end_time": missed.end_time}
    await change(platform, "RescheduleTherapySession", moved, **times)
    await change(platform, "CancelTherapySession", moved, cancelled_by=CANCELLING_PARTY_PATIENT)
    platform.clock.advance(missed.end_time.ToDatetime() - missed.start_time.ToDatetime())
    await change(platform, "MarkNoShow", missed)

    found = await entries(database_url)

    assert found == [
        *(changed("scheduled", session) for session in (held, moved, missed)),
        changed("started", held),
        changed("ended", held),
        changed("rescheduled", moved),
        changed("cancelled", moved),
        changed("no_show", missed),
    ]


async def test_reading_a_session_is_written_down(platform: Platform, database_url: URL):
    session = await platform.schedule()

    await platform.sessions.GetTherapySession(pb.GetTherapySessionRequest(session_id=session.session_id))

    assert (await entries(database_url))[1:] == [read(session)]


async def test_a_list_is_written_down_once_with_what_it_shows(platform: Platform, database_url: URL):
    first, second = await platform.schedule(), await platform.schedule()

    await platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest(page_size=1))
    await platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest())
    await platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest(patient_id=second.patient_id))
    await platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest(patient_id=second.therapist_id))

    ids = f"{first.session_id}, {second.session_id}"
    assert (await entries(database_url))[2:] == [
        ("therapy_sessions.listed", "", {"sessions": "1", "session_ids": first.session_id}),
        ("therapy_sessions.listed", "", {"sessions": "2", "session_ids": ids}),
        ("therapy_sessions.listed", second.patient_id, {"sessions": "1", "session_ids": second.session_id}),
        ("therapy_sessions.listed", second.therapist_id, {"sessions": "0", "session_ids": ""}),
    ]


async def test_a_repeated_request_reads_and_changes_nothing(platform: Platform, database_url: URL):
    booking = await platform.booking()
    booking.request_id = "booking-1"

    session = await platform.sessions.ScheduleTherapySession(booking)
    await platform.sessions.ScheduleTherapySession(booking)
    cancellation = {"cancelled_by": CANCELLING_PARTY_PATIENT, "request_id": "cancellation-1"}
    await change(platform, "CancelTherapySession", session, **cancellation)
    await change(platform, "CancelTherapySession", session, **cancellation)

    assert await entries(database_url) == [
        changed("scheduled", session),
        read(session),
        changed("cancelled", session),
        read(session),
    ]


async def test_what_an_event_changes_is_written_down(platform: Platform, database_url: URL):
    session = await platform.schedule()

    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=session.patient_id, reason=REASON))
    await until_handled(database_url, ("users", "mentalhealth"))

    assert (await entries(database_url))[1:] == [changed("cancelled", session)]


async def test_it_tells_who_in_which_call_and_nothing_that_was_said(platform: Platform, database_url: URL):
    session = await platform.schedule()
    metadata = (("x-request-id", "mine-1"),)
    request = pb.CancelTherapySessionRequest(
        session_id=session.session_id, cancelled_by=CANCELLING_PARTY_PATIENT, reason=REASON
    )
    await platform.sessions.CancelTherapySession(request, metadata=metadata)

    rows = await rows_of(database_url, "SELECT * FROM mentalhealth.audit ORDER BY audit_id")

    assert (rows[1]["actor"], rows[1]["source"], rows[1]["request_id"]) == ("local", "127.0.0.1", "mine-1")
    assert rows[1]["trace_id"]
    assert REASON not in str(rows)


async def test_without_an_entry_nothing_is_shown_and_nothing_changes(platform: Platform, database_url: URL):
    session = await platform.schedule()
    request = pb.GetTherapySessionRequest(session_id=session.session_id)
    await rows_of(database_url, "REVOKE INSERT ON mentalhealth.audit FROM aura_mentalhealth")

    failures = [
        await failure_of(platform.sessions.GetTherapySession(request)),
        await failure_of(platform.sessions.ListTherapySessions(pb.ListTherapySessionsRequest())),
        await failure_of(platform.schedule()),
        await failure_of(change(platform, "CancelTherapySession", session, cancelled_by=CANCELLING_PARTY_PATIENT)),
    ]

    assert {failure.code for failure in failures} == {grpc.StatusCode.INTERNAL}
    states = await rows_of(database_url, "SELECT state FROM mentalhealth.therapy_sessions")
    assert [row["state"] for row in states] == ["SCHEDULED"]


async def test_entries_can_neither_be_changed_nor_removed(platform: Platform, database_url: URL):
    await platform.schedule()

    for statement in ("UPDATE mentalhealth.audit SET actor = ''", "DELETE FROM mentalhealth.audit"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rows_of(database_url, f"SET ROLE aura_mentalhealth; {statement}")


class Forgetful(TherapySessionServicer):
    """Shows sessions, and tells nobody of it."""

    async def GetTherapySession(self, request: Any, context: Any) -> TherapySession:  # noqa: N802
        del context
        return TherapySession(session_id=request.session_id, patient_id="somebody")


@pytest.fixture
async def forgetful(database_url: URL, tmp_path: Path) -> AsyncIterator[Platform]:
    provider = Provider(scope=Scope.REQUEST)
    provider.provide(Forgetful, provides=TherapySessionServicer)
    async with running_platform(database_url, tmp_path, overrides={"mentalhealth": (provider,)}) as platform:
        yield platform


@pytest.mark.parametrize("transport", ["tcp", "in_process"])
async def test_a_servicer_that_forgets_the_trail_is_caught(forgetful: Platform, transport: str):
    channel = forgetful.channel if transport == "tcp" else as_root(forgetful.host.channel)
    stub: Any = TherapySessionServiceStub(channel)
    request = pb.GetTherapySessionRequest(session_id="0190a000-0000-7000-8000-000000000001")

    failure = await failure_of(stub.GetTherapySession(request))

    assert failure.code is grpc.StatusCode.INTERNAL
    assert failure.details == "the answer is withheld by a fault of ours; the request id finds it in the log"


async def rows_of(url: URL, statement: str) -> list[Any]:
    connection = await asyncpg.connect(sync_url(url))
    try:
        if statement.startswith("SELECT"):
            return await connection.fetch(statement)
        await connection.execute(statement)
        return []
    finally:
        await connection.close()
