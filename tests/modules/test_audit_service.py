"""What an admin reads in the audit trails of all modules, whichever process is asked."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.kernel.errors import PermissionDenied
from aura.kernel.ids import first_id_at
from aura.kernel.security.internal_identity import IDENTITY_METADATA, Identity, InternalIdentities
from generated.aura.audit.v1 import audit_service_pb2 as pb
from generated.aura.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import GetTherapySessionRequest
from tests.modules.test_two_processes import people, running
from tests.partitions.partitions import topology_of
from tests.support.accounts import audited
from tests.support.cluster import KEYS
from tests.support.failures import failure_of
from tests.support.platform import Platform
from tests.support.root import ALL_ROLES, root_channel

MODULE = "mentalhealth"
METHOD = "/aura.audit.v1.AuditService/ListAuditEntries"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def add(url: URL, *entries: tuple[str, str, str], each: timedelta = timedelta(minutes=1), **details: str) -> None:
    """Adds entries of action, subject and actor, the first at noon, the others one after another."""
    connection = await asyncpg.connect(sync_url(url))
    rows = [
        (uuid.UUID(int=first_id_at(at.timestamp()).int + number), at, *entry, json.dumps(details))
        for number, entry in enumerate(entries)
        for at in [NOON + number * each]
    ]
    await connection.executemany(f"INSERT INTO {MODULE}.audit VALUES ($1, $2, $3, $4, $5, '', '', 'r', 't', $6)", rows)
    await connection.close()


async def listed(platform: Platform, **fields: Any) -> list[pb.AuditEntry]:
    request = pb.ListAuditEntriesRequest(**{"module": MODULE, **fields})
    return list((await platform.audit.ListAuditEntries(request)).entries)


async def test_an_entry_tells_who_did_what_in_which_call(platform: Platform, database_url: URL):
    session = await platform.schedule()
    get = GetTherapySessionRequest(session_id=session.session_id)
    await platform.sessions.GetTherapySession(get, metadata=(("x-request-id", "mine-1"),))

    read, scheduled = await listed(platform)

    assert (read.module, read.action, read.subject) == (MODULE, "therapy_session.read", session.session_id)
    assert (read.actor, read.via_module, read.source, read.request_id) == ("local", "", "127.0.0.1", "mine-1")
    assert (len(read.trace_id), uuid.UUID(read.audit_id).version) == (32, 7)
    assert abs(read.occur_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    assert dict(read.details) == {"patient_id": session.patient_id}
    assert scheduled.action == "therapy_session.scheduled"


SEEDED = [
    ("therapy_session.read", "s1", "ada"),
    ("therapy_session.read", "s2", "ben"),
    ("therapy_sessions.listed", "p1", "ada"),
    ("therapyXsession.read", "s1", "ada"),
    ("therapy_session.cancelled", "s1", "ben"),
]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"subject": "s1"}, [4, 3, 0]),
        ({"actor": "ben"}, [4, 1]),
        ({"action": "therapy_session.read"}, [1, 0]),
        ({"action": "therapy_session.*"}, [4, 1, 0]),
        ({"action": "therapy_session*"}, [4, 2, 1, 0]),
        ({"action": "*"}, [4, 3, 2, 1, 0]),
        ({"action": "therapy_session"}, []),
        ({"action": "therapy_session.*", "subject": "s1", "actor": "ada"}, [0]),
        ({"from_time": NOON + timedelta(minutes=3)}, [4, 3]),
        ({"to_time": NOON + timedelta(minutes=1)}, [0]),
        ({"from_time": NOON + timedelta(minutes=1), "to_time": NOON + timedelta(minutes=3)}, [2, 1]),
        ({"subject": "nobody"}, []),
        ({"to_time": NOON - timedelta(days=400)}, []),
    ],
)
async def test_finds_what_all_filters_let_through(platform: Platform, database_url: URL, fields: dict, found: list):
    await add(database_url, *SEEDED)

    entries = await listed(platform, **fields)

    assert [(entry.action, entry.subject, entry.actor) for entry in entries] == [SEEDED[number] for number in found]


async def test_pages_follow_one_another_while_entries_are_added(platform: Platform, database_url: URL):
    await add(database_url, *(("a.b", str(number), "ada") for number in range(7)))
    request, subjects = pb.ListAuditEntriesRequest(module=MODULE, action="a.b", page_size=3), []

    while True:
        page = await platform.audit.ListAuditEntries(request)
        subjects.append([entry.subject for entry in page.entries])
        request.page_token = page.next_page_token
        if not request.page_token:
            break

    assert subjects == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


async def test_a_token_is_good_for_its_query_only(platform: Platform, database_url: URL):
    await add(database_url, *SEEDED)
    request = pb.ListAuditEntriesRequest(module=MODULE, page_size=1)
    request.page_token = (await platform.audit.ListAuditEntries(request)).next_page_token

    for changed in ({"module": "users"}, {"actor": "ada"}, {"page_token": "x"}):
        other = pb.ListAuditEntriesRequest()
        other.CopyFrom(request)
        for name, value in changed.items():
            setattr(other, name, value)
        failure = await failure_of(platform.audit.ListAuditEntries(other))
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


async def test_a_page_of_long_entries_holds_fewer(platform: Platform, database_url: URL):
    await add(database_url, *(("a.b", str(number), "ada") for number in range(6)), session_ids="x" * 900_000)
    request = pb.ListAuditEntriesRequest(module=MODULE, action="a.b", page_size=5)

    first = await platform.audit.ListAuditEntries(request)
    request.page_token = first.next_page_token
    second = await platform.audit.ListAuditEntries(request)

    assert [entry.subject for entry in first.entries] == ["5", "4"]
    assert [entry.subject for entry in second.entries] == ["3", "2"]


async def test_reading_is_written_down_before_the_answer(platform: Platform, database_url: URL):
    await add(database_url, *SEEDED)

    await listed(platform, subject="s1", actor="ada", action="therapy_session.*")

    action, subject, details = (await audited(database_url, MODULE))[-1]
    assert (action, subject) == ("audit.read", "s1")
    assert details == {"of_actor": "ada", "of_action": "therapy_session.*", "entries": "1"}
    assert await audited(database_url, "users") == []


async def test_what_cannot_be_written_down_is_not_read(platform: Platform, database_url: URL):
    connection = await asyncpg.connect(sync_url(database_url))
    await connection.execute("REVOKE INSERT ON mentalhealth.audit FROM aura_mentalhealth")
    await connection.close()

    failure = await failure_of(platform.audit.ListAuditEntries(pb.ListAuditEntriesRequest(module=MODULE)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


@pytest.mark.parametrize("module", ["billing", "kernel", "mentalhealth.audit; --", "x" * 64])
async def test_an_unknown_module_is_refused_with_the_names_of_all(platform: Platform, module: str):
    failure = await failure_of(platform.audit.ListAuditEntries(pb.ListAuditEntriesRequest(module=module)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    (violation,) = failure.error.violations
    assert violation.field == "module"
    assert violation.description == "must name a module of the platform: mentalhealth, users"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module", ""),
        ("subject", "ada@example.com"),
        ("actor", "Ada Lovelace"),
        ("action", "%"),
        ("action", "a*b"),
        ("page_size", -1),
        ("to_time", Timestamp(seconds=1)),
        ("from_time", Timestamp(seconds=2**60)),
        ("from_time", Timestamp(nanos=-1)),
    ],
)
async def test_a_filter_that_can_be_none_is_refused(platform: Platform, field: str, value: Any):
    request = pb.ListAuditEntriesRequest(**{"module": MODULE, "from_time": NOON, field: value})

    failure = await failure_of(platform.audit.ListAuditEntries(request))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert field in failure.fields


async def test_the_platform_itself_may_read_and_no_module(platform: Platform):
    request = pb.ListAuditEntriesRequest(module=MODULE)
    registry = platform.host.registry

    assert not (await AuditServiceStub(registry.kernel_channel("users")).ListAuditEntries(request)).entries
    with pytest.raises(PermissionDenied):
        await AuditServiceStub(registry.channel(caller=MODULE, dependency="users")).ListAuditEntries(request)

    (read,) = await listed(platform)
    assert (read.action, read.actor, read.via_module) == ("audit.read", "local", "kernel")


# Two processes: users in p0, mental health in p1


@pytest.fixture
async def channels(database_url: URL, tmp_path: Path) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    topology = topology_of((("users",), (MODULE,)))
    async with AsyncExitStack() as stack:
        hosts = [
            await stack.enter_async_context(running(topology, name, database_url, tmp_path)) for name in ("p0", "p1")
        ]
        yield {
            host.process.name: await stack.enter_async_context(root_channel(host.address, process=host.process.name))
            for host in hosts
        }


@pytest.mark.parametrize("process", ["p0", "p1"])
async def test_any_process_answers_for_all_modules(
    channels: dict[str, grpc.aio.Channel], database_url: URL, process: str
):
    await people(channels["p0"])
    await add(database_url, *SEEDED)
    stub, metadata = AuditServiceStub(channels[process]), (("x-request-id", "mine-1"),)

    users = await stub.ListAuditEntries(pb.ListAuditEntriesRequest(module="users"), metadata=metadata)
    first = pb.ListAuditEntriesRequest(module=MODULE, page_size=3)
    sessions = await stub.ListAuditEntries(first, metadata=metadata)
    second = pb.ListAuditEntriesRequest(module=MODULE, page_size=3, page_token=sessions.next_page_token)
    rest = await AuditServiceStub(channels["p1"]).ListAuditEntries(second)

    assert [entry.action for entry in users.entries] == ["user.created", "user.created"]
    assert [entry.action for entry in (*sessions.entries, *rest.entries)] == [action for action, _, _ in SEEDED[::-1]]
    for module in ("users", MODULE):
        request = pb.ListAuditEntriesRequest(module=module, action="audit.read")
        entry = (await stub.ListAuditEntries(request)).entries[-1]
        assert (entry.actor, entry.via_module, entry.source, entry.request_id) == ("local", "", "127.0.0.1", "mine-1")


async def test_an_error_comes_through_as_it_is(channels: dict[str, grpc.aio.Channel]):
    request = pb.ListAuditEntriesRequest(module=MODULE, page_token="x")

    failures = [await failure_of(AuditServiceStub(channel).ListAuditEntries(request)) for channel in channels.values()]

    assert {(failure.code, failure.reason, failure.details) for failure in failures} == {
        (
            grpc.StatusCode.INVALID_ARGUMENT,
            "PAGE_TOKEN_INVALID",
            "page_token does not belong to this query; send the same query with the token, or leave the token out",
        )
    }


async def test_what_was_passed_on_once_is_not_passed_on_again(channels: dict[str, grpc.aio.Channel]):
    token = InternalIdentities(KEYS).seal(
        Identity(user="local", module="", forwarded=True, roles=ALL_ROLES), method=METHOD, process="p0"
    )
    request = pb.ListAuditEntriesRequest(module=MODULE)

    failure = await failure_of(
        AuditServiceStub(channels["p0"]).ListAuditEntries(request, metadata=((IDENTITY_METADATA, token),))
    )

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "TOPOLOGY_MISMATCH")


async def test_a_module_whose_process_is_away_is_unavailable(database_url: URL, tmp_path: Path):
    topology = topology_of((("users",), (MODULE,)))
    async with (
        running(topology, "p0", database_url, tmp_path) as host,
        root_channel(host.address, process=host.process.name) as channel,
    ):
        stub = AuditServiceStub(channel)

        failure = await failure_of(stub.ListAuditEntries(pb.ListAuditEntriesRequest(module=MODULE), timeout=1.5))

        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "MODULE_UNAVAILABLE")
        assert not (await stub.ListAuditEntries(pb.ListAuditEntriesRequest(module="users"))).entries
