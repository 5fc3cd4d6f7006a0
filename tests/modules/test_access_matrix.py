"""Every method of the platform, called by everybody, on every way there is: only who is meant to gets through.

`access_matrix.csv` is reviewed by hand. In it, `+` is let through to the method, `-` is refused, and `x` is told that
what they ask for is not there. Whoever adds a method adds its row.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from dishka import Provider, Scope
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from sqlalchemy import URL

from aura.kernel import audit_service, module_service
from aura.kernel.access_table import KERNEL_SERVICES
from aura.kernel.clock import Clock
from aura.kernel.contracts import load_contract, service_names
from aura.kernel.host import Host
from aura.kernel.interceptors.dependencies import DELIVER
from aura.kernel.rpc_status import from_rpc_error
from aura.kernel.security.actor import KERNEL
from aura.kernel.security.internal_identity import Identity, InternalIdentities
from aura.kernel.security.standard_services import HEALTH_METHODS, rule_of
from aura.kernel.settings import Settings
from aura.modules import AURA_MODULES
from generated.aura.options.v1 import access_pb2
from generated.aura.options.v1.access_pb2 import Role
from tests.partitions.partitions import topology_of
from tests.support.accounts import PASSWORD, set_password
from tests.support.cluster import KEYS
from tests.support.platform import FakeClock
from tests.support.rest import ask, bindings_of_method, http_request_of
from tests.support.root import CallerChannel, root_channel, vouched

TABLE = Path(__file__).with_name("access_matrix.csv")
SPREADS = {"one process": (tuple(AURA_MODULES),), "two processes": (("users",), ("mentalhealth",))}
PEOPLE = {
    "patient": "ROLE_PATIENT",
    "other patient": "ROLE_PATIENT",
    "therapist": "ROLE_THERAPIST",
    "other therapist": "ROLE_THERAPIST",
    "support": "ROLE_SUPPORT",
    "admin": "ROLE_ADMIN",
    "operator": "ROLE_OPERATOR",
}
MODULES = (*AURA_MODULES, KERNEL)
CALLERS = ("anonymous", "expired", *PEOPLE, "client", *MODULES)
REFUSED = {
    "ACCESS_TOKEN_MISSING",
    "ACCESS_TOKEN_INVALID",
    "BOOKING_NOT_ADMITTED",
    "CALLER_NOT_ADMITTED",
    "INTERNAL_IDENTITY_INVALID",
    "SIGN_IN_REQUIRED",
    "UNDECLARED_DEPENDENCY",
    "UNDECLARED_SUBSCRIPTION",
}
HIDDEN = {"SESSION_NOT_FOUND", "EMERGENCY_ACCESS_NOT_FOUND"}
LOGOUT = "aura.users.v1.AuthenticationService/Logout"
CHANGING = ("aura.mentalhealth.v1.EmergencyAccessService/BeginEmergencyAccess", LOGOUT)
"""What changes who may do what; called last."""
NOT_THERE = "01900000-0000-7000-8000-000000000000"
REFLECTION = (
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)


def methods() -> Iterator[str]:
    """The full names of all methods that a server can be asked for."""
    for module in AURA_MODULES:
        load_contract(module)
    services = [name for module, spec in AURA_MODULES.items() for name in service_names(module, spec)]
    for service in sorted({*services, *KERNEL_SERVICES, module_service.SERVICE, audit_service.SERVICE}):
        described = descriptor_pool.Default().FindServiceByName(service)
        yield from (f"{service}/{method.name}" for method in described.methods)
    yield from (path[1:] for path in HEALTH_METHODS)
    yield from REFLECTION


def table() -> dict[str, dict[str, str]]:
    with TABLE.open() as file:
        return {row.pop("method"): row for row in csv.DictReader(file)}


@dataclass
class World:
    """A platform with somebody of each kind, a session of the patient and the therapist, and ways to all of it."""

    hosts: list[Host]
    channels: dict[str, grpc.aio.Channel]
    ids: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def ways(self, caller: str, module: str) -> dict[str, Any]:
        """Every channel on which a caller can reach a method of a module."""
        if caller in MODULES:
            return self._ways_of_module(caller, module)
        token = self.tokens.get(caller)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        ways: dict[str, Any] = dict(self.channels)
        ways |= {f"in {host.process.name}": host.channel for host in self.hosts}
        by_http = {f"REST {host.process.name}": Rest(host.http_address, token) for host in self.hosts}
        return {name: CallerChannel(channel, lambda _: metadata) for name, channel in ways.items()} | by_http

    def _ways_of_module(self, caller: str, module: str) -> dict[str, Any]:
        identity = Identity(user=self.ids["admin"], module=caller)
        ways: dict[str, Any] = {
            name: CallerChannel(channel, vouched(identity, name, InternalIdentities(KEYS)))
            for name, channel in self.channels.items()
        }
        for host in self.hosts:
            if module in host.process.modules:
                ways[f"in {host.process.name}"] = host.registry._channel_to(module, caller)
        return ways

    def request(self, method: str) -> Any:
        """A request about the patient, or about the session, that breaks no rule of its contract that matters here."""
        if method.startswith("grpc.health"):
            return health_pb2.HealthCheckRequest()
        if method.startswith("grpc.reflection"):
            return reflection_pb2.ServerReflectionRequest(list_services="")
        service, _, name = method.partition("/")
        described = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        return self._filled(GetMessageClass(described.input_type)(), method)

    def _filled(self, message: Any, method: str) -> Any:
        start = datetime.now(UTC) + timedelta(days=3)
        values = {
            **self.ids,
            "cancelled_by": 1,
            "code": "F33.1",
            "reason": "because of the matrix",
            "query": "anxiety",
            "module": "users",
            "module_id": "users",
            "role": Role.ROLE_SUPPORT,
            "start_time": start,
            "end_time": start + timedelta(minutes=50),
            "start_date": {"year": 2026, "month": 1, "day": 1},
            "end_date": {"year": 2026, "month": 2, "day": 1},
        }
        if "AuthenticationService" in method:
            values["session_id"] = self.ids["login session"]
        elif method.startswith("aura.users") and not method.endswith(("GetUser", "GetAccess")):
            values["user_id"] = self.ids["spare"]
        for each in message.DESCRIPTOR.fields:
            if each.name == "user_ids":
                message.user_ids.append(self.ids["spare"])
            elif each.name == "user" and each.message_type is not None:
                message.user.user_id = self.ids["patient"]
            elif each.name in values and not (each.name == "code" and "AuthenticationService" in method):
                _set(message, each, values[each.name])
        return message


@dataclass(frozen=True)
class Rest:
    """A process's gateway, and the access token of who calls it."""

    url: str
    token: str | None

    async def outcomes(self, method: str, request: Any) -> AsyncIterator[str]:
        """Calls each binding of a method; yields how the table has what comes of it."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        for binding in bindings_of_method(method):
            seconds = 0.5 if method.endswith("/TailEvents") else 20
            answer = await ask(self.url, http_request_of(binding, request), headers, seconds=seconds)
            assert answer.status in {0, 200, 400, 401, 403, 404, 409, 429}, (method, answer)
            reason = "" if answer.status in {0, 200} else answer.reason
            assert reason != "ROUTE_NOT_FOUND", method
            yield _classified(reason)


def _set(message: Any, field_: Any, value: Any) -> None:
    if isinstance(value, dict):
        getattr(message, field_.name).CopyFrom(GetMessageClass(field_.message_type)(**value))
    elif isinstance(value, datetime):
        getattr(message, field_.name).FromDatetime(value)
    else:
        setattr(message, field_.name, value)


@pytest.fixture(params=SPREADS)
async def world(request: pytest.FixtureRequest, database_url: URL, tmp_path: Path) -> AsyncIterator[World]:
    clock = FakeClock(datetime.now(UTC).replace(microsecond=0))
    fake_time = Provider(scope=Scope.APP)
    fake_time.provide(lambda: clock, provides=Clock)
    topology = topology_of(SPREADS[request.param])
    async with AsyncExitStack() as stack:
        hosts = []
        processes = {name: replace(each, http_port=0) for name, each in topology.processes.items()}
        topology = replace(topology, processes=processes)
        for name in topology.processes:
            host = Host(
                settings=Settings(environment="test", data_dir=tmp_path, http_port=None, password_memory_kib=8192),
                specs=AURA_MODULES,
                database_url=database_url,
                keys=KEYS,
                topology=topology,
                process=name,
                overrides={module: [fake_time] for module in AURA_MODULES},
                now=lambda: clock.now().timestamp(),
            )
            await host.start()
            stack.push_async_callback(host.stop, 0)
            hosts.append(host)
        channels = {
            host.process.name: await stack.enter_async_context(grpc.aio.insecure_channel(host.address))
            for host in hosts
        }
        made = World(hosts, channels)
        root = await stack.enter_async_context(root_channel(hosts[0].address, process="p0"))
        await populate(made, root, database_url, clock)
        yield made


async def populate(world: World, root: Any, url: URL, clock: FakeClock) -> None:
    """Makes the people and what is theirs; the first token of the patient has expired afterwards."""

    async def ask(channel: Any, method: str, **fields: Any) -> Any:
        service, _, name = method.partition("/")
        described = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        request, answer = GetMessageClass(described.input_type), GetMessageClass(described.output_type)
        call = channel.unary_unary(f"/{method}", request.SerializeToString, answer.FromString)
        return await call(request(**fields))

    accounts, outside = "aura.users.v1.AuthenticationService", world.channels["p0"]
    for number, (name, role) in enumerate([*PEOPLE.items(), ("spare", "ROLE_PATIENT")]):
        user = {"email": f"p{number}@example.com", "display_name": name.title(), "roles": [role]}
        world.ids[name] = (await ask(root, "aura.users.v1.UserService/CreateUser", user=user)).user_id
        await set_password(url, world.ids[name])
    await ask(root, "aura.users.v1.UserService/GrantRole", user_id=world.ids["spare"], role="ROLE_ADMIN", reason="two")

    async def log_in(number: int) -> Any:
        return await ask(outside, f"{accounts}/Login", email=f"p{number}@example.com", password=PASSWORD)

    world.tokens["expired"] = (await log_in(0)).access_token
    clock.advance(timedelta(minutes=6))
    world.ids["login session"] = (await log_in(0)).session_id
    for number, name in enumerate(PEOPLE):
        world.tokens[name] = (await log_in(number)).access_token
    known = [name for module, spec in AURA_MODULES.items() for name in service_names(module, spec)]
    client = await ask(root, f"{accounts}/CreateServiceClient", display_name="c", services=known)
    secret = {"client_id": client.client_id, "client_secret": client.client_secret}
    world.tokens["client"] = (await ask(outside, f"{accounts}/IssueServiceToken", **secret)).access_token
    start = clock.now() + timedelta(days=1)
    session = await ask(
        root,
        "aura.mentalhealth.v1.TherapySessionService/ScheduleTherapySession",
        therapist_id=world.ids["therapist"],
        patient_id=world.ids["patient"],
        start_time=start,
        end_time=start + timedelta(minutes=50),
    )
    mine = (("authorization", f"Bearer {world.tokens['therapist']}"),)
    access = await ask(
        CallerChannel(outside, lambda _: mine),
        "aura.mentalhealth.v1.EmergencyAccessService/BeginEmergencyAccess",
        patient_id=world.ids["other patient"],
        reason="because of the matrix",
    )
    world.ids |= {
        "session_id": session.session_id,
        "access_id": access.access_id,
        "client_id": NOT_THERE,
        "event_id": NOT_THERE,
        "user_id": world.ids["patient"],
        "patient_id": world.ids["patient"],
        "therapist_id": world.ids["therapist"],
    }


async def outcomes(channel: Any, method: str, request: Any) -> AsyncIterator[str]:
    """Calls a method, and by REST each of its bindings; yields how the table has what comes of it."""
    if not isinstance(channel, Rest):
        yield await outcome(channel, method, request)
        return
    async for got in channel.outcomes(method, request):
        yield got


async def outcome(channel: Any, method: str, request: Any) -> str:
    """Calls a method; returns how the table has what comes of it."""
    service, _, name = method.partition("/")
    streams = method in REFLECTION or name in {"TailEvents", "Watch"}
    path = f"/{method}"
    if method in REFLECTION:
        call = channel.stream_stream(path)(iter([request.SerializeToString()]), timeout=5)
    elif streams:
        call = channel.unary_stream(path)(request.SerializeToString(), timeout=5)
    else:
        call = channel.unary_unary(path)(request.SerializeToString(), timeout=5)
    del service
    try:
        if streams:
            await asyncio.wait_for(call.read(), 0.5 if name == "TailEvents" else 5)
            call.cancel()
        else:
            await call
    except TimeoutError:
        call.cancel()
    except grpc.aio.AioRpcError as error:
        return _classified(from_rpc_error(error).reason)
    except Exception as error:  # noqa: BLE001 a module's channel translates what comes
        return _classified(getattr(error, "reason", ""))
    return "+"


def _classified(reason: str) -> str:
    return "-" if reason in REFUSED else "x" if reason in HIDDEN else "+"


def test_every_method_has_a_row_and_every_row_a_method():
    assert sorted(table()) == sorted(methods())
    assert {tuple(row) for row in table().values()} == {CALLERS}


def test_nobody_gets_through_whom_the_contract_does_not_name():
    roles = {name: Role.Value(role) for name, role in PEOPLE.items()} | {"client": Role.ROLE_SERVICE}
    undeclared = []
    for method, row in table().items():
        rule = rule_of(f"/{method}")
        for caller, expected in row.items():
            if expected != "+" or rule.external == access_pb2.EXTERNAL_PUBLIC:
                continue
            if f"/{method}" == DELIVER and caller in AURA_MODULES:
                continue  # the servicer sees that an event comes from its publisher
            named = caller in rule.callers or roles.get(caller) in rule.roles
            own = bool(rule.self_field) and caller == "patient"
            known = rule.external == access_pb2.EXTERNAL_AUTHENTICATED and caller in roles
            if not (named or own or known):
                undeclared.append((method, caller))

    assert undeclared == []


async def test_the_platform_does_what_the_table_says(world: World, record_figure: Any):
    expected, wrong, calls = table(), [], 0
    for method in sorted(methods(), key=lambda each: (each in CHANGING, each)):
        for caller in CALLERS:
            module = method.split(".")[1]
            ways = world.ways(caller, module)
            for way, channel in list(ways.items())[: 1 if method == LOGOUT else None]:  # afterwards nobody is logged in
                if way.startswith(("in ", "REST ")) and method.startswith("grpc."):
                    continue  # the standard services are on the network only
                async for got in outcomes(channel, method, world.request(method)):
                    calls += 1
                    if got != expected.get(method, {}).get(caller):
                        wrong.append((method, caller, way, got))

    record_figure("matrix_calls", calls)
    record_figure("undeclared_successes", sum(got == "+" for *_, got in wrong))
    assert wrong == []
