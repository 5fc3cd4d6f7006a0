"""What a server on a real port makes of bad input: a canonical code, a reason, a path, no write, nothing internal."""

from __future__ import annotations

import asyncio
import re
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from generated.aura.mentalhealth.v1 import disorder_service_pb2, therapy_session_pb2, therapy_session_service_pb2
from generated.aura.modules.v1 import module_service_pb2
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1 import user_pb2, user_service_pb2
from tests.support.failures import Failure, failure_of
from tests.support.root import root_channel
from tests.support.server_process import ServerProcess, write_secret_key

USERS = "/aura.users.v1.UserService"
SESSIONS = "/aura.mentalhealth.v1.TherapySessionService"
DISORDERS = "/aura.mentalhealth.v1.DisorderService"
MODULES = "/aura.modules.v1.ModuleService"
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
PLANTED_FAULT = "planted-fault"
CLIENT_LIMIT = [("grpc.max_send_message_length", -1)]
NOW = datetime.now(UTC)
UNKNOWN, NOBODY = "6f1c2f4e-5b0d-4c57-9a3e-1d2b7a90c8e4", "0b7e7f0a-93d1-4f0e-8a6b-5c1f3e2d4a69"
LONG = "a" * 10_000
INTERNALS = re.compile(
    rb"Traceback|\.py\b|File \"|site-packages|sqlalchemy|asyncpg|psycopg|pydantic|dishka|protovalidate"
    rb"|aura\.(kernel|users\.(api|services|models|repositories)|mentalhealth\.(api|domain|application|infrastructure))"
    rb"|[a-z]Error\b|Exception|<class|object at 0x|google\._upb|DecodeError"
    rb"|\b(SELECT|INSERT|UPDATE|DELETE) |constraint|relation \"|violates|postgres|aura-pg-"
)


@dataclass
class Bad:
    """A bad request, and what must be answered."""

    method: str
    request: Any
    code: grpc.StatusCode
    reason: str
    fields: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        shown = re.sub(r"\s+", "_", str(self.request))[:60]
        return f"{self.method.rpartition('/')[2]}-{self.reason}-{','.join(self.fields)}-{shown}"


def schedule(**changed: Any) -> therapy_session_service_pb2.ScheduleTherapySessionRequest:
    start = NOW + timedelta(days=1)
    good = {
        "therapist_id": UNKNOWN,
        "patient_id": NOBODY,
        "start_time": start,
        "end_time": start + timedelta(minutes=50),
    }
    return therapy_session_service_pb2.ScheduleTherapySessionRequest(**{**good, **changed})


def create(**changed: Any) -> user_service_pb2.CreateUserRequest:
    good = {"email": "ada@example.com", "display_name": "Ada", "roles": [ROLE_PATIENT]}
    return user_service_pb2.CreateUserRequest(user=user_pb2.User(**{**good, **changed}))


def cancel(**changed: Any) -> therapy_session_service_pb2.CancelTherapySessionRequest:
    good = {"session_id": UNKNOWN, "cancelled_by": 1, "reason": "ill"}
    return therapy_session_service_pb2.CancelTherapySessionRequest(**{**good, **changed})


def ends(**after: float) -> dict[str, Any]:
    start = NOW + timedelta(days=1)
    return {"start_time": start, "end_time": start + timedelta(**after)}


def with_request_id(request: Any, request_id: str) -> Any:
    request.request_id = request_id
    return request


def invalid(method: str, request: Any, *paths: str) -> Bad:
    return Bad(method, request, INVALID, "INVALID_REQUEST", list(paths))


GET_USER, BATCH, CREATE = f"{USERS}/GetUser", f"{USERS}/BatchGetUsers", f"{USERS}/CreateUser"
GET, SCHEDULE = f"{SESSIONS}/GetTherapySession", f"{SESSIONS}/ScheduleTherapySession"
START, END, CANCEL = (f"{SESSIONS}/{verb}TherapySession" for verb in ("Start", "End", "Cancel"))
GET_DISORDER, LIST = f"{DISORDERS}/GetDisorder", f"{DISORDERS}/ListDisorders"
Get = therapy_session_service_pb2.GetTherapySessionRequest
Start = therapy_session_service_pb2.StartTherapySessionRequest
End = therapy_session_service_pb2.EndTherapySessionRequest
List = disorder_service_pb2.ListDisordersRequest
Code = disorder_service_pb2.GetDisorderRequest
Module = module_service_pb2.GetModuleRequest
GetUser, Batch = user_service_pb2.GetUserRequest, user_service_pb2.BatchGetUsersRequest

MALFORMED_IDS = ["", "0", "not-a-uuid", UNKNOWN[:-1], f"{{{UNKNOWN}}}", "'; DROP TABLE users.users; --", LONG]

BAD = [
    # ids that nobody has
    Bad(GET_USER, GetUser(user_id=UNKNOWN), NOT_FOUND, "USER_NOT_FOUND"),
    Bad(BATCH, Batch(user_ids=[UNKNOWN]), NOT_FOUND, "USER_NOT_FOUND"),
    Bad(SCHEDULE, schedule(), NOT_FOUND, "PARTICIPANT_NOT_FOUND"),
    Bad(GET, Get(session_id=UNKNOWN), NOT_FOUND, "SESSION_NOT_FOUND"),
    Bad(START, Start(session_id=UNKNOWN), NOT_FOUND, "SESSION_NOT_FOUND"),
    Bad(END, End(session_id=UNKNOWN), NOT_FOUND, "SESSION_NOT_FOUND"),
    Bad(CANCEL, cancel(), NOT_FOUND, "SESSION_NOT_FOUND"),
    Bad(GET_DISORDER, Code(code="F99.9999"), NOT_FOUND, "DISORDER_NOT_FOUND"),
    Bad(f"{MODULES}/GetModule", Module(module_id="nope"), NOT_FOUND, "MODULE_NOT_FOUND"),
    # ids that are none
    *(invalid(GET_USER, GetUser(user_id=text), "user_id") for text in MALFORMED_IDS),
    *(invalid(BATCH, Batch(user_ids=[UNKNOWN, text]), "user_ids[1]") for text in MALFORMED_IDS),
    *(invalid(SCHEDULE, schedule(therapist_id=text), "therapist_id") for text in MALFORMED_IDS),
    *(invalid(SCHEDULE, schedule(patient_id=text), "patient_id") for text in MALFORMED_IDS),
    *(
        invalid(method, request(session_id=text), "session_id")
        for method, request in [(GET, Get), (START, Start), (END, End), (CANCEL, cancel)]
        for text in MALFORMED_IDS
    ),
    invalid(BATCH, Batch(), "user_ids"),
    invalid(SCHEDULE, schedule(patient_id=UNKNOWN), "patient_id"),
    # text that is empty or long
    invalid(CREATE, create(email=""), "user.email"),
    invalid(CREATE, create(email=LONG), "user.email"),
    invalid(CREATE, create(display_name=""), "user.display_name"),
    invalid(CREATE, create(display_name=LONG), "user.display_name"),
    invalid(CREATE, create(phone_number=LONG), "user.phone_number"),
    invalid(CREATE, create(time_zone=LONG), "user.time_zone"),
    invalid(CREATE, create(locale=LONG), "user.locale"),
    invalid(CREATE, create(etag=LONG), "user.etag"),
    invalid(CREATE, create(email=LONG, display_name=LONG), "user.email", "user.display_name"),
    invalid(CREATE, user_service_pb2.CreateUserRequest(), "user"),
    invalid(CREATE, with_request_id(create(), LONG), "request_id"),
    invalid(SCHEDULE, with_request_id(schedule(), LONG), "request_id"),
    invalid(SCHEDULE, schedule(time_zone=LONG), "time_zone"),
    invalid(START, Start(session_id=UNKNOWN, reason=LONG), "reason"),
    invalid(END, End(session_id=UNKNOWN, reason=LONG), "reason"),
    invalid(CANCEL, cancel(reason=LONG), "reason"),
    invalid(CANCEL, cancel(reason=""), "reason"),
    invalid(GET_DISORDER, Code(code=""), "code"),
    invalid(GET_DISORDER, Code(code=LONG), "code"),
    invalid(LIST, List(page_token=LONG), "page_token"),
    invalid(LIST, List(parent_code=LONG), "parent_code"),
    invalid(LIST, List(page_size=-1), "page_size"),
    invalid(f"{MODULES}/GetModule", Module(module_id=""), "module_id"),
    invalid(f"{MODULES}/GetModule", Module(module_id=LONG), "module_id"),
    Bad(LIST, List(page_token="nonsense"), INVALID, "PAGE_TOKEN_INVALID", ["page_token"]),
    Bad(CREATE, create(email="nobody"), INVALID, "EMAIL_INVALID", ["user.email"]),
    Bad(CREATE, create(phone_number="12"), INVALID, "PHONE_NUMBER_INVALID", ["user.phone_number"]),
    Bad(CREATE, create(time_zone="../../etc/passwd"), INVALID, "TIME_ZONE_UNKNOWN", ["user.time_zone"]),
    Bad(SCHEDULE, schedule(time_zone="Mars/Olympus"), INVALID, "TIME_ZONE_UNKNOWN", ["time_zone"]),
    # U+0000, which PostgreSQL does not store
    invalid(CREATE, create(display_name="A\x00"), "user.display_name"),
    Bad(CREATE, create(email="a\x00@example.com"), INVALID, "EMAIL_INVALID", ["user.email"]),
    Bad(SCHEDULE, schedule(time_zone="U\x00TC"), INVALID, "TIME_ZONE_UNKNOWN", ["time_zone"]),
    *(
        invalid(method, request, path)
        for method, request, path in [
            (GET_DISORDER, Code(code="\x00\x00\x00"), "code"),
            (LIST, List(parent_code="\x00"), "parent_code"),
            (CREATE, with_request_id(create(), "\x00"), "request_id"),
            (SCHEDULE, with_request_id(schedule(), "\x00"), "request_id"),
            (CANCEL, with_request_id(cancel(), "\x00"), "request_id"),
        ]
    ),
    # values that no enum has
    invalid(CREATE, create(roles=[77]), "user.roles[0]"),
    invalid(CREATE, create(roles=[ROLE_PATIENT, -1]), "user.roles[1]"),
    invalid(CREATE, create(roles=[0]), "user.roles[0]"),
    invalid(CREATE, create(roles=[]), "user.roles"),
    invalid(CANCEL, cancel(cancelled_by=0), "cancelled_by"),
    invalid(CANCEL, cancel(cancelled_by=77), "cancelled_by"),
    invalid(LIST, List(kind=77), "kind"),
    # times in the wrong order, too far apart, too close, missing, out of range
    invalid(SCHEDULE, schedule(**ends(minutes=-50)), "end_time"),
    invalid(SCHEDULE, schedule(**ends(minutes=0)), "end_time"),
    invalid(SCHEDULE, schedule(**ends(minutes=4)), "end_time"),
    invalid(SCHEDULE, schedule(**ends(hours=8, seconds=1)), "end_time"),
    invalid(SCHEDULE, schedule(start_time=None), "start_time"),
    invalid(SCHEDULE, schedule(end_time=None), "end_time"),
    invalid(SCHEDULE, schedule(start_time=NOW + timedelta(days=800)), "start_time"),
    invalid(SCHEDULE, schedule(start_time=Timestamp(seconds=2**60)), "start_time"),
    invalid(SCHEDULE, schedule(start_time=Timestamp(nanos=-1)), "start_time"),
    invalid(SCHEDULE, schedule(end_time=Timestamp(seconds=2**60)), "end_time"),
    invalid(SCHEDULE, schedule(end_time=Timestamp(seconds=-(2**60))), "end_time"),
    invalid(SCHEDULE, schedule(end_time=Timestamp(nanos=2**31 - 1)), "end_time"),
    invalid(SCHEDULE, schedule(end_time=datetime(9999, 12, 31, tzinfo=UTC)), "end_time"),
]


@pytest.fixture(scope="module")
def server(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("bad_input")
    key = write_secret_key(folder / "secret.key")
    with ServerProcess(folder, database_url=module_url, secret_key_file=key) as server:
        yield server.start()


@pytest.fixture
async def channel(server: ServerProcess) -> AsyncIterator[grpc.aio.Channel]:
    async with root_channel(server.address, options=CLIENT_LIMIT) as channel:
        yield channel


@pytest.fixture
async def database(module_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(module_url)
    yield connection
    await connection.close()


async def rows(database: asyncpg.Connection) -> dict[str, int]:
    """Returns how many rows each of the modules' tables has."""
    tables = await database.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname IN ('users', 'mentalhealth')"
    )
    return {table["name"]: await database.fetchval(f"SELECT count(*) FROM {table['name']}") for table in tables}


async def failure(channel: grpc.aio.Channel, method: str, request: Any, **options: Any) -> Failure:
    """Returns the failure of a call that must fail, seen to tell nothing internal."""
    data = request if isinstance(request, bytes) else request.SerializeToString()
    call = channel.unary_unary(method)(data, timeout=20, **options)
    failed = await failure_of(call)
    assert not leaks(failed, await call.initial_metadata(), await call.trailing_metadata())
    return failed


def leaks(failed: Failure, *metadata: Any) -> list[bytes]:
    """Returns whatever of our insides the answer shows."""
    parts = [failed.details.encode(), *(as_bytes(part) for pairs in metadata for pair in pairs for part in pair)]
    return [found[0] for part in parts for found in [INTERNALS.search(part)] if found]


def as_bytes(part: str | bytes) -> bytes:
    return part.encode() if isinstance(part, str) else part


async def create_user(channel: grpc.aio.Channel, role: int) -> str:
    request = create(email=f"{uuid.uuid4()}@example.com", roles=[role])
    answer = await channel.unary_unary(CREATE)(request.SerializeToString())
    return user_pb2.User.FromString(answer).user_id


async def booked(channel: grpc.aio.Channel, *, starts_in: timedelta) -> str:
    """Returns the id of a new session of new people."""
    start = datetime.now(UTC) + starts_in
    request = schedule(
        therapist_id=await create_user(channel, ROLE_THERAPIST),
        patient_id=await create_user(channel, ROLE_PATIENT),
        start_time=start,
        end_time=start + timedelta(minutes=50),
    )
    answer = await channel.unary_unary(SCHEDULE)(request.SerializeToString())
    return therapy_session_pb2.TherapySession.FromString(answer).session_id


@pytest.mark.parametrize("bad", BAD, ids=str)
async def test_refuses_bad_requests_and_writes_nothing(
    channel: grpc.aio.Channel, database: asyncpg.Connection, bad: Bad
):
    before = await rows(database)

    failed = await failure(channel, bad.method, bad.request)

    assert (failed.code, failed.reason) == (bad.code, bad.reason)
    assert set(bad.fields) <= set(failed.fields)
    assert failed.fields or bad.code is not INVALID
    assert await rows(database) == before


async def test_counts_rows_so_that_a_write_would_be_seen(channel: grpc.aio.Channel, database: asyncpg.Connection):
    before = await rows(database)

    await booked(channel, starts_in=timedelta(days=1))

    changed = {name for name, count in (await rows(database)).items() if count != before[name]}
    assert changed == {
        "users.users",
        "users.user_changes",
        "mentalhealth.therapy_sessions",
        "mentalhealth.session_transitions",
        "mentalhealth.session_participants",
        "users.outbox_events",
        "mentalhealth.outbox_events",
        "users.audit",
        "mentalhealth.audit",
    }


@pytest.mark.parametrize(
    "told",
    [
        "Traceback (most recent call last)",
        "Unexpected <class 'KeyError'>: 1",
        'aura/kernel/host.py", line 1',
        "(sqlalchemy.exc.DBAPIError)",
        "INSERT INTO users.users",
        'new row violates check constraint "x"',
        "aura.users.repositories",
    ],
)
def test_sees_what_is_internal(told: str):
    assert leaks(Failure(INVALID, told, None))
    assert leaks(Failure(INVALID, "", None), [("grpc-status-details-bin", told.encode())])


@pytest.mark.parametrize(
    "wrong",
    [
        (timedelta(0), [], END, "ILLEGAL_TRANSITION"),
        (timedelta(0), [START], START, "ILLEGAL_TRANSITION"),
        (timedelta(0), [START], CANCEL, "ILLEGAL_TRANSITION"),
        (timedelta(0), [START, END], START, "ILLEGAL_TRANSITION"),
        (timedelta(0), [START, END], END, "ILLEGAL_TRANSITION"),
        (timedelta(0), [START, END], CANCEL, "ILLEGAL_TRANSITION"),
        (timedelta(0), [CANCEL], START, "ILLEGAL_TRANSITION"),
        (timedelta(0), [CANCEL], CANCEL, "ILLEGAL_TRANSITION"),
        (timedelta(0), [CANCEL], END, "ILLEGAL_TRANSITION"),
        (timedelta(hours=1), [], START, "TOO_EARLY_TO_START"),
    ],
    ids=lambda wrong: "-".join(method.rpartition("/")[2] for method in [*wrong[1], wrong[2]]),
)
async def test_refuses_changes_that_the_state_does_not_allow(
    channel: grpc.aio.Channel,
    database: asyncpg.Connection,
    wrong: tuple[timedelta, list[str], str, str],
):
    starts_in, before, refused, reason = wrong
    session_id = await booked(channel, starts_in=starts_in)
    requests = {START: Start(session_id=session_id), END: End(session_id=session_id), CANCEL: cancel()}
    requests[CANCEL].session_id = session_id
    for method in before:
        await channel.unary_unary(method)(requests[method].SerializeToString())
    rows_before = await rows(database)

    failed = await failure(channel, refused, requests[refused])

    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert await rows(database) == rows_before


async def test_refuses_people_in_the_wrong_part_and_a_start_in_the_past(
    channel: grpc.aio.Channel, database: asyncpg.Connection
):
    therapist, patient = await create_user(channel, ROLE_THERAPIST), await create_user(channel, ROLE_PATIENT)
    past = datetime.now(UTC) - timedelta(minutes=6)
    before = await rows(database)

    swapped = await failure(channel, SCHEDULE, schedule(therapist_id=patient, patient_id=therapist))
    late = await failure(
        channel,
        SCHEDULE,
        schedule(therapist_id=therapist, patient_id=patient, start_time=past, end_time=past + timedelta(hours=1)),
    )

    assert (swapped.code, swapped.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "PARTICIPANT_ROLE_MISSING")
    assert (late.code, late.reason, late.fields) == (INVALID, "START_IN_PAST", ["start_time"])
    assert await rows(database) == before


async def test_refuses_an_email_and_a_request_id_that_are_taken(
    channel: grpc.aio.Channel, database: asyncpg.Connection
):
    first = with_request_id(create(email="taken@example.com"), "taken")
    await channel.unary_unary(CREATE)(first.SerializeToString())
    before = await rows(database)

    email = await failure(channel, CREATE, create(email="TAKEN@example.com"))
    request_id = await failure(channel, CREATE, with_request_id(create(email="free@example.com"), "taken"))

    assert (email.code, email.reason, email.fields) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "EMAIL_TAKEN",
        ["user.email"],
    )
    assert (request_id.code, request_id.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert await rows(database) == before


@pytest.mark.parametrize("method", [CREATE, SCHEDULE, GET_USER, GET, LIST, f"{MODULES}/ListModules"])
async def test_refuses_messages_of_five_mebibytes(channel: grpc.aio.Channel, database: asyncpg.Connection, method: str):
    before = await rows(database)

    failed = await failure(channel, method, create(display_name="a" * 5 * 1024 * 1024))

    assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await rows(database) == before


GARBAGE = [
    b"\xff" * 100,
    b"\x0a",  # a field that ends before its length
    b"\x0a\x7fshort",
    b"\x0b",  # a group that does not end
    b"\x0a\x02\xc3\x28",  # a string that is not UTF-8; to CreateUser, a user with a group that ends before it begins
    bytes(range(256)) * 40,
    b"\x0a\x05\x0a\x05\x0a\x05",
]


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: data[:8].hex())
@pytest.mark.parametrize("method", [CREATE, GET_USER, SCHEDULE, GET, START, GET_DISORDER])
async def test_refuses_bytes_that_are_no_message(
    channel: grpc.aio.Channel, database: asyncpg.Connection, method: str, data: bytes
):
    before = await rows(database)

    failed = await failure(channel, method, data)

    assert failed.code is INVALID
    assert failed.reason in {"MALFORMED_REQUEST", "INVALID_REQUEST"}  # some of it is a message of one of the types
    assert await rows(database) == before


async def test_calls_bytes_that_are_no_message_malformed(channel: grpc.aio.Channel):
    failed = await failure(channel, CREATE, b"\xff" * 100)

    assert failed.reason == "MALFORMED_REQUEST"


@pytest.mark.parametrize("method", ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"])
async def test_standard_services_too_call_garbage_malformed(channel: grpc.aio.Channel, method: str):
    failed = await failure(channel, method, b"\xff" * 100)

    assert (failed.code, failed.reason) == (INVALID, "MALFORMED_REQUEST")


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_standard_streams_too_call_garbage_malformed(channel: grpc.aio.Channel, method: str):
    call = channel.stream_stream(method)(iter([b"\xff" * 100]), timeout=20)

    failed = await failure_of(call.read())

    assert (failed.code, failed.reason) == (INVALID, "MALFORMED_REQUEST")
    assert not leaks(failed, await call.initial_metadata(), await call.trailing_metadata())


@pytest.mark.parametrize(
    "method",
    [
        f"{USERS}/Nope",
        f"{USERS}/createUser",
        f"{USERS}/__init__",
        "/aura.users.v1.Nope/CreateUser",
        "/aura.users.v2.UserService/GetUser",
        "/aura.analytics.v1.ReportService/GetReport",
        "/aura.events.v1.SubscriberService/Receive",
        "//",
        "/x",
        f"/{LONG[:4000]}/{LONG[:2000]}",
    ],
    ids=lambda method: method[:60],
)
async def test_does_not_know_other_methods(channel: grpc.aio.Channel, method: str):
    failed = await failure(channel, method, b"")

    assert failed.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("request_bytes", [b"", b"\n\x0cmentalhealth"])
async def test_events_are_not_delivered_from_outside(channel: grpc.aio.Channel, request_bytes: bytes):
    failed = await failure(channel, "/aura.events.v1.SubscriberService/Deliver", request_bytes)

    assert failed.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("request_id", ["a" * 129, "with space", "<script>", "../../etc/passwd", "mine"])
async def test_answers_with_a_request_id_of_a_safe_form(channel: grpc.aio.Channel, request_id: str):
    call = channel.unary_unary(GET_USER)(b"", metadata=[("x-request-id", request_id)])

    await failure_of(call)

    answered = dict(await call.trailing_metadata())["x-request-id"]
    assert re.fullmatch(r"[A-Za-z0-9._:/+=-]{1,128}", answered)


async def test_hides_the_cause_when_the_database_fails(channel: grpc.aio.Channel, database: asyncpg.Connection):
    await database.execute("ALTER TABLE users.users RENAME TO users_away")
    try:
        failed = await failure(channel, GET_USER, GetUser(user_id=UNKNOWN), metadata=[("x-request-id", PLANTED_FAULT)])
    finally:
        await database.execute("ALTER TABLE users.users_away RENAME TO users")

    assert (failed.code, failed.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def test_refuses_a_reason_that_cannot_be_stored(channel: grpc.aio.Channel, database: asyncpg.Connection):
    session_id = await booked(channel, starts_in=timedelta(0))
    before = await rows(database)

    failed = await failure(channel, START, Start(session_id=session_id, reason="a\x00b"))

    assert (failed.code, failed.reason, failed.fields) == (INVALID, "INVALID_REQUEST", ["reason"])
    assert await rows(database) == before


NOT_GRPC = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",  # the beginning of a TLS handshake
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 1000,
    b"\x00" * 100_000,
]


@pytest.mark.parametrize("data", NOT_GRPC, ids=lambda data: data[:12].hex())
async def test_serves_on_after_bytes_that_are_no_grpc(server: ServerProcess, channel: grpc.aio.Channel, data: bytes):
    host, _, port = server.address.rpartition(":")
    answer = await asyncio.to_thread(raw_exchange, host, int(port), data)

    assert not INTERNALS.search(answer)
    assert (await failure(channel, GET_USER, GetUser(user_id=UNKNOWN))).code is NOT_FOUND


def raw_exchange(host: str, port: int, data: bytes) -> bytes:
    with socket.create_connection((host, port), timeout=1) as connection:
        try:
            connection.sendall(data)
            return connection.recv(4096)
        except OSError:
            return b""


async def test_logged_no_fault_of_its_own_for_all_this_but_the_planted_one(server: ServerProcess):
    faults = [line for line in server.logs().splitlines() if "[error" in line]

    assert [line for line in faults if PLANTED_FAULT not in line] == []
    assert len(faults) == 2, "one line for the cause, one for the call"
