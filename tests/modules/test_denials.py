"""Who was denied what stands in the audit trail, and nobody can fill it."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.audit import AuditTrail
from aura.kernel.database import sync_url
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ListTherapySessionsRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_OPERATOR
from tests.support.failures import failure_of
from tests.support.platform import Platform

LIST = "/aura.mentalhealth.v1.TherapySessionService/ListTherapySessions"


async def denials(url: URL, module: str = "mentalhealth") -> list[Any]:
    connection = await asyncpg.connect(sync_url(url))
    try:
        return await connection.fetch(f"SELECT * FROM {module}.audit WHERE action = 'access.denied'")
    finally:
        await connection.close()


async def test_a_denial_stands_in_the_trail_of_the_module_that_was_called(platform: Platform, database_url: URL):
    operator = await platform.create_user(ROLE_OPERATOR)
    sessions: Any = TherapySessionServiceStub(platform.acting_as(operator))

    failure = await failure_of(sessions.ListTherapySessions(ListTherapySessionsRequest()))

    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ADMITTED")
    (row,) = await denials(database_url)
    assert (row["actor"], row["via_module"]) == (operator.user_id, "")
    assert json.loads(row["details"]) == {"method": LIST, "reason": "CALLER_NOT_ADMITTED"}
    assert not await denials(database_url, "users")


async def test_a_caller_cannot_fill_the_trail(platform: Platform, database_url: URL):
    operator = await platform.create_user(ROLE_OPERATOR)
    sessions: Any = TherapySessionServiceStub(platform.acting_as(operator))

    for _ in range(50):
        await failure_of(sessions.ListTherapySessions(ListTherapySessionsRequest()))

    assert 0 < len(await denials(database_url)) < 10


async def test_strangers_stand_in_the_log_only(platform: Platform, database_url: URL):
    sessions: Any = TherapySessionServiceStub(platform.outside)

    failure = await failure_of(sessions.ListTherapySessions(ListTherapySessionsRequest()))

    assert failure.reason == "ACCESS_TOKEN_MISSING"
    assert not await denials(database_url)


async def test_who_is_denied_is_denied_though_it_cannot_be_written_down(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
):
    operator = await platform.create_user(ROLE_OPERATOR)
    sessions: Any = TherapySessionServiceStub(platform.acting_as(operator))

    async def fail(*_: Any) -> None:
        raise RuntimeError("the trail is full")

    monkeypatch.setattr(AuditTrail, "write", fail)

    assert (
        await failure_of(sessions.ListTherapySessions(ListTherapySessionsRequest()))
    ).reason == "CALLER_NOT_ADMITTED"
