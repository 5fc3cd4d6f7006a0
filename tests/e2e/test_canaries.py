"""What is secret, or says something of a person, is found nowhere that it does not belong, by whatever call it came."""

from __future__ import annotations

import asyncio
import itertools
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy import URL

from aura.kernel.contracts import describe
from aura.kernel.database import sync_url
from aura.kernel.gateway.bindings import Binding
from aura.kernel.security.internal_identity import Identity, InternalIdentities
from aura.kernel.topology import Process, Topology
from aura.modules import AURA_MODULES
from generated.aura.options.v1 import sensitivity_pb2
from generated.aura.options.v1.access_pb2 import Role
from tests.gateway.client import Answer
from tests.modules.test_access_matrix import methods
from tests.partitions.partitions import launched, topology_of
from tests.support.cluster import KEYS
from tests.support.events import until_handled
from tests.support.ports import free_port
from tests.support.rest import HttpRequest, ask, bindings_of_method, http_request_of
from tests.support.root import CallerChannel, new_access_token, root_channel, vouched
from tests.support.server_process import ServerProcess

SPREADS = {"one process": (tuple(AURA_MODULES),), "two processes": (("users",), ("mentalhealth",))}
EVENTS = ("outbox_events", "outbox_deliveries", "outbox_queues", "scheduled_events", "inbox")
LEFT_BEHIND = (*EVENTS, "idempotency", "audit", "throttles")
QUICK = {"password_memory_kib": 8192, "event_attempts": 2, "event_first_pause_seconds": 0.02}
USERS, ACCOUNTS = "aura.users.v1.UserService", "aura.users.v1.AuthenticationService"
SESSIONS, EMERGENCIES = "aura.mentalhealth.v1.TherapySessionService", "aura.mentalhealth.v1.EmergencyAccessService"
EVENT_ADMIN = "aura.events.v1.EventAdminService"
BREAKING = """
CREATE OR REPLACE FUNCTION mentalhealth.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{text}' USING DETAIL = '{text}', HINT = '{text}';
END $$;
CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON mentalhealth.inactive_users FOR EACH ROW
    WHEN (NEW.user_id = '{user_id}') EXECUTE FUNCTION mentalhealth.fail();
"""
ABSENT = "01900000-0000-7000-8000-000000000000"


@dataclass
class Canaries:
    """Words that occur nowhere else, and where each was sent."""

    sent: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    def new(self, where: str) -> str:
        made = f"canarybird{next(self.numbers)}x"
        self.sent[made] = where
        return made

    def headers(self, binding: Binding) -> dict[str, str]:
        """Headers with canaries, in each that means nothing to a call, or that it may not show.

        Idempotency-Key, X-Request-Id and User-Agent are left out, for they are kept, and shown to those who call.
        """
        names = ["if-none-match", "grpc-metadata-x-note", "origin", "cookie", "referer", "accept", "accept-language"]
        return {name: self.new(f"{binding.path} in its header {name}") for name in names}

    def found_in(self, text: str, place: str) -> list[tuple[str, str, str]]:
        """The canaries in a text, however they are written there."""
        folded = text.casefold()
        forms = {word: (word, word.encode().hex()) for word in self.sent}
        return [
            (place, word, self.sent[word]) for word, spelt in forms.items() if any(each in folded for each in spelt)
        ]


@dataclass
class Platform:
    topology: Topology
    servers: list[ServerProcess]
    channels: list[Any]
    outside: list[grpc.aio.Channel]
    canaries: Canaries = field(default_factory=Canaries)
    answers: list[str] = field(default_factory=list)
    by_rest: bool = False
    token: str = ""

    @property
    def urls(self) -> list[str]:
        """Where each process serves REST."""
        return [f"http://127.0.0.1:{process.http_port}" for process in self.topology.processes.values()]

    async def ask(self, method: str, *, token: str | None = None, **fields: Any) -> Any:
        """Makes a call as root, or as whom a token names; with an empty token as nobody. Keeps what an error says."""
        service, _, name = method.partition("/")
        described = describe(service).methods_by_name[name]
        request = GetMessageClass(described.input_type)(**fields)
        return await self.send(method, request, token=token)

    async def send(self, method: str, request: Any, *, token: str | None = None) -> Any:
        if self.by_rest and (bindings := bindings_of_method(method)):
            first, *_ = [await self.send_by_rest(binding, request, token=token) for binding in bindings]
            return first
        service, _, name = method.partition("/")
        answer = GetMessageClass(describe(service).methods_by_name[name].output_type)
        number = len(self.answers) % len(self.channels)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        channel = self.channels[number] if token is None else CallerChannel(self.outside[number], lambda _: metadata)
        try:
            if name == "TailEvents":
                call = channel.unary_stream(f"/{method}", type(request).SerializeToString, answer.FromString)
                await asyncio.wait_for(call(request, timeout=5).read(), 0.2)
                return None
            call = channel.unary_unary(f"/{method}", type(request).SerializeToString, answer.FromString)
            return await call(request, timeout=20)
        except TimeoutError:
            return None
        except grpc.aio.AioRpcError as error:
            trailing = [
                value if isinstance(value, str) else value.hex() for _, value in error.trailing_metadata() or ()
            ]
            self.answers.append(f"{method} {error.code()} {error.details()} {' '.join(trailing)}")
            return None

    async def send_by_rest(self, binding: Binding, request: Any, *, token: str | None) -> Any:
        """Makes a call over HTTP; returns the response as a message, and None if it failed."""
        token = self.token if token is None else token
        headers = self.canaries.headers(binding) | ({"authorization": f"Bearer {token}"} if token else {})
        if binding.method.server_streaming:
            headers["grpc-timeout"] = "200m"
        url = self.urls[len(self.answers) % len(self.urls)]
        answer = await ask(url, http_request_of(binding, request), headers)
        if answer.status != HTTPStatus.OK:
            self.keep(binding.path, answer)
            return None
        return None if binding.method.server_streaming else message_of(binding, answer)

    def keep(self, place: str, answer: Answer) -> None:
        """Keeps what an error says, in its headers too."""
        self.answers.append(f"{place} {answer.status} {answer.headers} {answer.body.decode()}")


def message_of(binding: Binding, answer: Answer) -> Any:
    """The response; where a variable of the path was empty, that of another method, of which nothing is kept."""
    message = GetMessageClass(binding.method.output_type)()
    return json_format.Parse(answer.body, message, ignore_unknown_fields=True)


@pytest.fixture(params=SPREADS)
async def platform(request: pytest.FixtureRequest, database_url: URL, tmp_path: Path) -> AsyncIterator[Platform]:
    spread = topology_of(SPREADS[request.param])
    topology = Topology(
        processes={name: replace(each, http_port=free_port()) for name, each in spread.processes.items()}
    )
    async with AsyncExitStack() as stack:
        settings = {"log_level": "debug", "smtp_url": "smtp+plain://127.0.0.1:1", **QUICK}
        servers = stack.enter_context(
            launched(topology, url=database_url, folder=tmp_path, arguments=("server.py",), **settings)
        )
        await asyncio.gather(*(asyncio.to_thread(server.wait_until_serving) for server in servers))
        channels, outside = [], []
        for name, process in topology.processes.items():
            channels.append(await stack.enter_async_context(root_channel(process.address, process=name)))
            outside.append(await stack.enter_async_context(grpc.aio.insecure_channel(process.address)))
        yield Platform(topology, servers, channels, outside)


def texts(message: Any, path: str = "") -> Iterator[tuple[Any, FieldDescriptor, str]]:
    """Every field of a request that holds text, of the messages inside it too."""
    for each in message.DESCRIPTOR.fields:
        where = f"{path}.{each.name}"
        if each.type == FieldDescriptor.TYPE_STRING:
            yield message, each, where
        elif each.message_type is not None and each.message_type.full_name.startswith("aura.") and not each.is_repeated:
            yield from texts(getattr(message, each.name), where)


def is_sensitive(field_: FieldDescriptor) -> bool:
    return bool(field_.GetOptions().Extensions[sensitivity_pb2.sensitivity])


async def fail_with_canaries(platform: Platform) -> None:
    """Calls every method with a canary in every text that is sensitive, as root, as nobody and with a made-up token."""
    for method in methods():
        if method.startswith("grpc."):
            continue
        service, _, name = method.partition("/")
        for token in (None, "", platform.canaries.new(f"{method} as its token")):
            request = GetMessageClass(describe(service).methods_by_name[name].input_type)()
            for message, each, where in texts(request):
                if is_sensitive(each):
                    word = platform.canaries.new(f"{method}{where}")
                    getattr(message, each.name).append(word) if each.is_repeated else setattr(message, each.name, word)
                elif each.name.endswith("_id") and not each.is_repeated:
                    setattr(message, each.name, ABSENT)
            await platform.send(method, request, token=token)


async def succeed_with_canaries(platform: Platform) -> None:
    """Goes through what people do, with canaries wherever they may say something."""

    def new(where: str) -> str:
        return platform.canaries.new(where)

    def person(role: str) -> dict[str, Any]:
        return {
            "email": f"{new('email')}@example.com",
            "display_name": f"{new('display name')} Person",
            "roles": [role],
        }

    therapist, patient = [
        await platform.ask(f"{USERS}/CreateUser", user=person(role)) for role in ("ROLE_THERAPIST", "ROLE_PATIENT")
    ]
    assert None not in (therapist, patient), platform.answers[-2:]
    for method, fields in {
        "GrantRole": {"role": Role.ROLE_SUPPORT},
        "RevokeRole": {"role": Role.ROLE_SUPPORT},
        "DeactivateUser": {},
        "ReactivateUser": {},
    }.items():
        reason = new(f"{method} reason")
        assert await platform.ask(f"{USERS}/{method}", user_id=patient.user_id, reason=reason, **fields), (
            platform.answers
        )
    changed = {"user_id": patient.user_id, "email": f"{new('new email')}@example.com", "display_name": new("new name")}
    assert await platform.ask(f"{USERS}/UpdateUser", user=changed, update_mask={"paths": ["email", "display_name"]})
    password, name = f"{new('password')} secret", new("registered name")
    email = f"{new('registered email')}@example.com"
    assert await platform.ask(f"{ACCOUNTS}/Register", token="", email=email, password=password, display_name=name)
    start = datetime.now(UTC) + timedelta(minutes=5)
    booking = {"therapist_id": therapist.user_id, "patient_id": patient.user_id}
    session = await platform.ask(
        f"{SESSIONS}/ScheduleTherapySession", **booking, start_time=start, end_time=start + timedelta(minutes=50)
    )
    assert session, platform.answers
    one = {"session_id": session.session_id}
    later = {"start_time": start + timedelta(minutes=1), "end_time": start + timedelta(minutes=51)}
    assert await platform.ask(f"{SESSIONS}/RescheduleTherapySession", **one, **later, reason=new("move"))
    assert await platform.ask(f"{SESSIONS}/StartTherapySession", **one, reason=new("start"))
    assert await platform.ask(f"{SESSIONS}/EndTherapySession", **one, reason=new("end"))
    assert await platform.ask(f"{SESSIONS}/GetTherapySession", **one)
    assert await platform.ask(f"{SESSIONS}/ListTherapySessions", patient_id=patient.user_id)
    holder = Identity(user=therapist.user_id, module="", roles=frozenset({int(Role.ROLE_THERAPIST)}))
    platform.channels[0] = CallerChannel(platform.outside[0], vouched(holder, "p0", InternalIdentities(KEYS)))
    platform.channels[1:] = platform.channels[:1] * (len(platform.channels) - 1)
    emergency = {"patient_id": patient.user_id, "reason": f"{new('emergency')} why"}
    assert await platform.ask(f"{EMERGENCIES}/BeginEmergencyAccess", **emergency), platform.answers[-1]


async def tokens_of_new_accounts(platform: Platform) -> list[str]:
    """Access tokens of accounts that have every role, one for each time that one is needed."""
    users = next(process for process in platform.topology.processes.values() if "users" in process.modules)
    async with grpc.aio.insecure_channel(users.address) as channel:
        return [
            await new_access_token(channel, email=f"root{number}@example.com", process=users.name)
            for number in range(4)
        ]


async def fail_at_the_gateway(platform: Platform) -> None:
    """Sends over HTTP what does not come as far as a method."""
    new = platform.canaries.new
    for url in platform.urls:
        for verb, target, body in (
            ("GET", f"/api/{new('path')}", None),
            ("DELETE", f"/api/users?a={new('query of a wrong method')}", None),
            ("GET", f"/api/users?unknown={new('unknown parameter')}", None),
            ("GET", f"/api/users?pageSize={new('parameter that is a number')}", None),
            ("GET", f"/api/users?pageSize=%{new('bad escape')}", None),
            ("GET", f"/api/users/../{new('behind dots')}", None),
            ("POST", "/api/auth/login", f'{{"email": "{new("broken JSON")}'),
            ("POST", "/api/auth/login", f'{{"email": ["{new("wrong type")}"]}}'),
            ("POST", "/api/auth/login", f'{{"unknown": "{new("unknown field")}"}}'),
            ("POST", "/api/auth/login", f'{{"email": "{new("first of two")}", "email": "{new("second of two")}"}}'),
            ("POST", "/api/auth/login", f"email={new('form')}"),
        ):
            sent = None if body is None else body.encode()
            answer = await ask(url, HttpRequest(verb=verb, target=target, body=sent))
            assert answer.status >= HTTPStatus.BAD_REQUEST
            platform.keep(verb, answer)
        for header in ("grpc-timeout", "content-encoding", "content-type", "grpc-metadata-x-bin", "authorization"):
            headers = {header: f"{new(header)}!"}
            answer = await ask(url, HttpRequest(verb="POST", target="/api/auth/logout", body=b"{}"), headers)
            platform.keep(header, answer)


async def fail_to_handle_an_event(platform: Platform, url: URL) -> list[str]:
    """Leaves an event whose subscriber fails each time, with canaries in what it says; returns what operators see."""
    profile = {
        "email": f"{platform.canaries.new('leaver')}@example.com",
        "display_name": "X",
        "roles": ["ROLE_PATIENT"],
    }
    leaver = await platform.ask(f"{USERS}/CreateUser", user=profile)
    assert leaver, platform.answers[-1]
    connection = await asyncpg.connect(sync_url(url))
    await connection.execute(BREAKING.format(text=platform.canaries.new("failure"), user_id=leaver.user_id))
    await connection.close()
    reason = platform.canaries.new("reason of what is not handled")
    assert await platform.ask(f"{USERS}/DeactivateUser", user_id=leaver.user_id, reason=reason)

    async def dead() -> Any:
        async with asyncio.timeout(20):
            while not (found := await platform.ask(f"{EVENT_ADMIN}/ListDeadLetters", filter=chosen)).dead_letters:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return found

    chosen = {"subject": leaver.user_id, "subscriber": "mentalhealth"}
    listed = await dead()
    (letter,) = listed.dead_letters
    replayed = await platform.ask(f"{EVENT_ADMIN}/ReplayDeadLetters", filter=chosen)
    again = await dead()
    details = await platform.ask(f"{EVENT_ADMIN}/GetEvent", event_id=letter.event_id)
    lag = await platform.ask(f"{EVENT_ADMIN}/GetEventLag")
    every = await platform.ask(f"{EVENT_ADMIN}/ListDeadLetters")
    assert (letter.type, letter.attempts, replayed.count) == ("user.deactivated", QUICK["event_attempts"], 1)
    assert [delivery.dead for delivery in details.unfinished] == [True]
    return [answer.SerializeToString().decode("latin-1") for answer in (listed, again, details, lag, every)]


async def left_behind(url: URL) -> dict[str, str]:
    """What is in the tables of events and of accounts of what happened, as text."""
    connection = await asyncpg.connect(sync_url(url))
    try:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE tablename = ANY($1)",
            list(LEFT_BEHIND),
        )
        return {
            table["name"]: "\n".join(
                row["text"] for row in await connection.fetch(f"SELECT t::text AS text FROM {table['name']} t")
            )
            for table in tables
        }
    finally:
        await connection.close()


def scraped(process: Process) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{process.http_port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


async def test_no_canary_is_found_where_it_does_not_belong(platform: Platform, database_url: URL, record_figure: Any):
    tokens = await tokens_of_new_accounts(platform)  # before the failed logins of this address are too many
    channels, seen_by_operators = [*platform.channels], []
    for platform.by_rest in (True, False):
        platform.token, platform.channels = tokens.pop(), [*channels]
        await fail_with_canaries(platform)
        platform.token = tokens.pop()  # the one before has logged out
        seen_by_operators += await fail_to_handle_an_event(platform, database_url)
        await succeed_with_canaries(platform)
    await fail_at_the_gateway(platform)
    await until_handled(database_url, ["mentalhealth"])

    tables = await left_behind(database_url)
    logs = {server.data_dir.parent.name: server.logs() for server in platform.servers}
    metrics = {name: await asyncio.to_thread(scraped, each) for name, each in platform.topology.processes.items()}
    places = {**tables, "errors": "\n".join(platform.answers), "dead letters": "\n".join(seen_by_operators)}
    places |= {f"log of {name}": text for name, text in logs.items()}
    places |= {f"metrics of {name}": text for name, text in metrics.items()}
    found = [each for place, text in places.items() for each in platform.canaries.found_in(text, place)]

    record_figure("canaries", len(platform.canaries.sent))
    record_figure("canaries_found", len(found))
    assert found == []
    assert len(platform.canaries.sent) > 1500
    assert all("aura.users.v1" in text for text in logs.values())
    assert all("aura_events" in text for text in metrics.values())
    assert {"users.audit", "users.outbox_events", "mentalhealth.audit", "mentalhealth.outbox_events"} <= set(tables)
    assert "user.deactivated" in places["dead letters"]
    assert "INTERNAL" in tables["users.outbox_queues"]
    assert all(tables[name] for name in ("users.audit", "mentalhealth.audit", "mentalhealth.outbox_events"))


def test_a_canary_is_found_where_it_is():
    canaries = Canaries()
    word = canaries.new("somewhere")

    assert [place for place, *_ in canaries.found_in(f'{{"reason": "{word.upper()}"}}', "log")] == ["log"]
    assert canaries.found_in(f"\\x0a{word.encode().hex()}", "table")
    assert canaries.found_in("nothing of it", "log") == []
