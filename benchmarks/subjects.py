"""Aura and its peers: how they are started, what they are asked, and whether they answer right."""

from __future__ import annotations

import json
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict

from benchmarks import load
from benchmarks.callers import Admin
from benchmarks.database import Database
from benchmarks.load import Measured
from benchmarks.peers.tokens import KEY_VARIABLE
from benchmarks.population import Size, example_user, user_id
from benchmarks.rounds import Load, Subject
from benchmarks.servers import Server, free_port, running
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ListTherapySessionsRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.users.v1.user_service_pb2 import GetUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub

USER = example_user()
GET_USER = "/aura.users.v1.UserService/GetUser"
LIST_SESSIONS = "/aura.mentalhealth.v1.TherapySessionService/ListTherapySessions"
LISTED = 20
ECHO, AURA, REST, FASTAPI = "echo", "Aura: GetUser", "Aura: user by REST", "FastAPI: user"
DRF = ("Django REST framework: user (sync)", "Django REST framework: user (gthread)")
CHECKING_FASTAPI, *CHECKING_DRF = (f"{name}, with tokens" for name in (FASTAPI, *DRF))
DRF_THREADS = 4


RATE_LIMITS_OFF = MappingProxyType({"AURA_RATE_LIMIT_PER_PEER": "0", "AURA_RATE_LIMIT_PER_ACCOUNT": "0"})
"""All load comes from one address, and would soon be more than one address may ask for."""


def aura_environment(database: Database) -> dict[str, str]:
    """Return Aura's settings: production's, with nothing but what production requires, and without rate limits."""
    return {
        "AURA_ENVIRONMENT": "production",
        "AURA_PORT": "{port}",
        "AURA_HTTP_PORT": "0",
        "AURA_DATABASE_URL": database.url,
        "AURA_SECRET_KEY_FILE": str(database.secret_key_file),
        "AURA_SMTP_URL": "smtp+plain://127.0.0.1:1",  # no mail is sent here
        **RATE_LIMITS_OFF,
    }


def start_subjects(database: Database, size: Size, folder: Path, stack: ExitStack) -> tuple[list[Subject], Admin]:
    """Start all servers, see that they answer right, and return what they are asked, and who asks Aura."""
    database_url = {"BENCHMARK_DATABASE_URL": database.users_url.render_as_string(hide_password=False)}

    def start(name: str, *arguments: str, environment: dict[str, str]) -> Server:
        return stack.enter_context(running(name, arguments, folder, environment=environment))

    def gunicorn(name: str, *options: str, environment: dict[str, str]) -> Server:
        bound = ("--workers=1", "--bind=127.0.0.1:{port}", *options, "benchmarks.peers.drf:application")
        return start(name, "-m", "gunicorn", *bound, environment=environment)

    echo = start("echo", "-m", "benchmarks.peers.echo", "{port}", environment={})
    http_port = free_port()
    aura = start("aura", "server.py", environment=aura_environment(database) | {"AURA_HTTP_PORT": str(http_port)})
    admin = Admin(aura, aura_environment(database))
    workers = (("--worker-class=sync",), ("--worker-class=gthread", f"--threads={DRF_THREADS}"))
    uvicorn = ("-m", "uvicorn", "--port={port}", "benchmarks.peers.fastapi_app:app")
    checking = database_url | {KEY_VARIABLE: _public_key(http_port, admin)}
    open_peers = [
        *(gunicorn(name, *each, environment=database_url) for name, each in zip(DRF, workers, strict=True)),
        start(FASTAPI, *uvicorn, environment=database_url),
    ]
    peers = [
        *(gunicorn(name, *each, environment=checking) for name, each in zip(CHECKING_DRF, workers, strict=True)),
        start(CHECKING_FASTAPI, *uvicorn, environment=checking),
    ]
    subjects = [
        Subject(name=ECHO, server=echo, load=gets_user_by_grpc(echo)),
        Subject(name=AURA, server=aura, load=gets_user_by_grpc(aura, admin)),
        Subject(name=REST, server=aura, load=_gets_user_by_rest(aura, f"127.0.0.1:{http_port}", admin)),
        *(Subject(name=server.name, server=server, load=_gets_user_by_http(server)) for server in open_peers),
        *(Subject(name=server.name, server=server, load=_gets_user_by_http(server, admin)) for server in peers),
        Subject(name="Aura: ListTherapySessions", server=aura, load=_lists_sessions(aura, admin)),
        Subject(name="Aura: ScheduleTherapySession", server=aura, load=_books(aura, admin, size)),
    ]
    return subjects, admin


def gets_user_by_grpc(server: Server, admin: Admin | None = None) -> Load:
    """See that a server answers GetUser right, and return what asks it for more."""
    request = GetUserRequest(user_id=USER.user_id)
    with grpc.insecure_channel(server.address) as channel:
        metadata = admin.metadata if admin else []
        _require(server, UserServiceStub(channel).GetUser(request, wait_for_ready=True, metadata=metadata), USER)
    return _h2load(server, GET_USER, request, USER, admin)


def _gets_user_by_http(server: Server, admin: Admin | None = None) -> Load:
    path = f"/api/users/{USER.user_id}"
    answer = _read(f"http://{server.address}{path}", admin)
    times = {"create_time": USER.create_time.ToJsonString(), "update_time": USER.update_time.ToJsonString()}
    same = {name: getattr(USER, name) for name in ("user_id", "email", "display_name", "phone_number", "time_zone")}
    expected = {**same, **times, "locale": USER.locale, "roles": ["PATIENT"], "state": "ACTIVE", "etag": USER.etag}
    _require(server, answer, expected)

    def ask(_: int, seconds: float) -> Measured:
        return load.wrk(server.address, path, seconds=seconds, access_token=admin.token if admin else "")

    return ask


def _gets_user_by_rest(server: Server, address: str, admin: Admin) -> Load:
    path = f"/api/users/{USER.user_id}"
    _require(
        server, _read(f"http://{address}{path}", admin), MessageToDict(USER, always_print_fields_with_no_presence=True)
    )
    return lambda _, seconds: load.wrk(address, path, seconds=seconds, access_token=admin.token)


def _lists_sessions(server: Server, admin: Admin) -> Load:
    request = ListTherapySessionsRequest(therapist_id=str(user_id(1)), page_size=LISTED)
    with grpc.insecure_channel(server.address) as channel:
        page = TherapySessionServiceStub(channel).ListTherapySessions(request, metadata=admin.metadata)
    _require(server, {session.therapist_id for session in page.sessions}, {request.therapist_id})
    _require(server, (len(page.sessions), bool(page.next_page_token)), (LISTED, True))
    return _h2load(server, LIST_SESSIONS, request, page, admin)


def _h2load(server: Server, path: str, request: Any, response: Any, admin: Admin | None) -> Load:
    body, response_bytes = request.SerializeToString(), response.ByteSize()

    def ask(requests: int, _: float) -> Measured:
        token = admin.token if admin else ""
        return load.h2load(
            server.address, path, body, requests=requests, response_bytes=response_bytes, access_token=token
        )

    return ask


def _books(server: Server, admin: Admin, size: Size) -> Load:
    booked = 0

    def book(requests: int, _: float) -> Measured:
        nonlocal booked
        booked += requests
        first = booked - requests
        return load.bookings(server.address, admin.token, first=first, requests=requests, users=size.users)

    return book


def _public_key(http_port: int, admin: Admin) -> str:
    """Return the key by which access tokens are verified; there is one as soon as somebody has logged in."""
    (key,) = _read(f"http://127.0.0.1:{http_port}/.well-known/jwks.json", admin)["keys"]
    return json.dumps(key)


def _read(url: str, admin: Admin | None = None) -> Any:
    headers = {"authorization": f"Bearer {admin.token}"} if admin else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 it is ours
    with urllib.request.urlopen(request) as response:  # noqa: S310 it is ours
        return json.load(response)


def _require(server: Server, answer: object, expected: object) -> None:
    if answer != expected:
        raise SystemExit(f"bench: {server.name} answers {answer} instead of {expected}")
