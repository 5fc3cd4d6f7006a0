"""Modules that call one another: two toy servicers on the real contracts, in the real chain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from aura.kernel.channel import ConnectionHeld
from aura.kernel.database import connection_held
from aura.kernel.errors import Code, FieldViolation, NotFound
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.access_log import AccessLog
from aura.kernel.interceptors.call import Call, current_call
from aura.kernel.interceptors.chain import InterceptorChain
from aura.kernel.interceptors.dependencies import UndeclaredDependency
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.identity import acting_user
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.registry import (
    ModuleServices,
    ServiceRegistry,
    add_to_server,
    generated_servicer,
    owner_of_generated,
)
from aura.kernel.security.actor import Actor
from generated.aura.mentalhealth.v1 import disorder_pb2, disorder_service_pb2, disorder_service_pb2_grpc
from generated.aura.modules.v1.module_service_pb2_grpc import ModuleServiceStub
from generated.aura.users.v1 import user_pb2, user_service_pb2, user_service_pb2_grpc
from tests.support.services import caller_identity, failure_from, registry_of


class UserNotFound(NotFound):
    """The callee's own subclass."""

    reason = "USER_NOT_FOUND"


@dataclass
class Seen:
    """A call as its servicer saw it."""

    call: Call
    actor: Actor
    request_id: str
    time_remaining: float | None
    metadata: dict[str, str]


class Users(user_service_pb2_grpc.UserServiceServicer):
    """The callee."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.error: Exception | None = None

    async def GetUser(self, request: Any, context: Any) -> user_pb2.User:  # noqa: N802
        call = current_call.get()
        assert call is not None
        metadata = {key: value for key, value in context.invocation_metadata() if key != "user-agent"}
        self.seen.append(Seen(call, call.actor, call.request_id, context.time_remaining(), metadata))
        if self.error:
            raise self.error
        return user_pb2.User(user_id=request.user_id)


class Disorders(disorder_service_pb2_grpc.DisorderServiceServicer):
    """The caller, which asks for a user by the code it is asked for."""

    def __init__(self, services: ModuleServices, *, timeout: float | None = None) -> None:
        self._users = services.stub(user_service_pb2_grpc.UserServiceStub)
        self._timeout = timeout
        self.caught: Exception | None = None
        self.time_remaining: float | None = None

    async def GetDisorder(self, request: Any, context: Any) -> disorder_pb2.Disorder:  # noqa: N802
        self.time_remaining = context.time_remaining()
        try:
            user = await self._users.GetUser(
                user_service_pb2.GetUserRequest(user_id=request.code), timeout=self._timeout
            )
        except Exception as error:
            self.caught = error
            raise
        return disorder_pb2.Disorder(code=user.user_id)


@dataclass
class World:
    registry: ServiceRegistry
    stub: Any
    users: Users = field(default_factory=Users)
    disorders: Any = None

    async def ask(self, **options: Any) -> Any:
        return await self.stub.GetDisorder(disorder_service_pb2.GetDisorderRequest(code="F33"), **options)


@asynccontextmanager
async def world(*, timeout: float | None = None) -> AsyncIterator[World]:
    """Callers come by TCP; the modules reach each other in-process."""
    chain = InterceptorChain([RequestIds(), AccessLog(), ErrorMapping(), caller_identity()])
    in_process, network = InProcessServer(interceptors=[chain]), grpc.aio.server(interceptors=[chain])
    registry = registry_of(in_process)
    address = f"127.0.0.1:{network.add_insecure_port('127.0.0.1:0')}"
    channel = grpc.aio.insecure_channel(address)
    made = World(registry=registry, stub=disorder_service_pb2_grpc.DisorderServiceStub(channel))
    made.disorders = Disorders(registry.for_module("mentalhealth"), timeout=timeout)
    add_to_server(Users, made.users, (in_process, network))
    add_to_server(Disorders, made.disorders, (in_process, network))
    await network.start()
    try:
        yield made
    finally:
        await channel.close()
        await network.stop(0)
        await registry.close()
        await in_process.stop(0)


async def test_a_declared_dependency_can_be_called():
    async with world() as made:
        answer = await made.ask()

    assert answer.code == "F33"


@pytest.mark.parametrize(
    ("module", "stub_class", "dependency"),
    [
        ("users", disorder_service_pb2_grpc.DisorderServiceStub, "mentalhealth"),
        ("users", user_service_pb2_grpc.UserServiceStub, "users"),
        ("mentalhealth", ModuleServiceStub, "modules"),
    ],
)
def test_an_undeclared_dependency_cannot_be_called(module: str, stub_class: Any, dependency: str):
    services = registry_of(InProcessServer()).for_module(module)

    with pytest.raises(UndeclaredDependency) as caught:
        services.stub(stub_class)

    assert caught.value.code is Code.PERMISSION_DENIED
    assert str(caught.value) == (
        f"module {module} may not call {dependency}: add it to the dependencies of {module} in aura/modules.py"
    )


async def test_the_request_id_crosses_to_the_callee():
    async with world() as made:
        await made.ask(metadata=[("x-request-id", "mine-1")])

    assert [seen.request_id for seen in made.users.seen] == ["mine-1"]


async def test_nothing_else_crosses_that_the_caller_sent():
    async with world() as made:
        await made.ask(metadata=[("x-secret", "secret"), ("x-other", "y"), ("x-request-id", "mine-1")])

    assert made.users.seen[0].metadata == {"x-request-id": "mine-1"}


async def test_the_callee_gets_no_more_time_than_the_caller_has_left():
    async with world() as made:
        await made.ask(timeout=5)

    remaining = made.users.seen[0].time_remaining
    assert remaining is not None
    assert 0 < remaining <= made.disorders.time_remaining


@pytest.mark.parametrize(("own", "callers", "most"), [(2.0, 5.0, 2.0), (5.0, 2.0, 2.0), (2.0, None, 2.0)])
async def test_the_shorter_time_holds(own: float, callers: float | None, most: float):
    async with world(timeout=own) as made:
        await made.ask(timeout=callers)

    remaining = made.users.seen[0].time_remaining
    assert remaining is not None
    assert most - 1 < remaining < most + 0.1  # on its way here gRPC rounds a deadline, up to 10 ms


async def test_without_any_time_limit_the_callee_has_none():
    async with world() as made:
        await made.ask()

    assert made.users.seen[0].time_remaining is None


async def test_the_callee_sees_the_module_and_the_user():
    async with world() as made:
        await made.ask()

    assert made.users.seen[0].actor == Actor(user_id="anonymous", via_module="mentalhealth")


async def test_the_user_is_that_of_the_call_in_which_the_module_calls():
    async with world() as made:
        call = Call(method=None, context=None, actor=Actor(user_id="mallory"), request_id="r")
        call.context = type("Context", (), {"time_remaining": lambda _: None})()
        current_call.set(call)
        acting_user.set("ada")  # as the interceptor does; what a module makes of its call is of no account
        stub = made.registry.for_module("mentalhealth").stub(user_service_pb2_grpc.UserServiceStub)
        await stub.GetUser(user_service_pb2.GetUserRequest(user_id="x"))
        current_call.set(None)

    assert made.users.seen[0].actor == Actor(user_id="ada", via_module="mentalhealth")


async def test_a_module_that_calls_on_its_own_account_is_the_local_actor():
    async with world() as made:
        stub = made.registry.for_module("mentalhealth").stub(user_service_pb2_grpc.UserServiceStub)
        await stub.GetUser(user_service_pb2.GetUserRequest(user_id="x"))

    assert made.users.seen[0].actor == Actor(user_id="local", via_module="mentalhealth")


async def test_the_callee_does_not_see_the_callers_call():
    async with world() as made:
        await made.ask()

    assert made.users.seen[0].call.method.path == "/aura.users.v1.UserService/GetUser"
    assert current_call.get() is None


async def test_an_error_arrives_as_its_canonical_class_with_all_it_tells():
    async with world() as made:
        made.users.error = UserNotFound(
            "no such user",
            metadata={"user_ids": "7"},
            violations=[FieldViolation(field="user_id", description="is unknown", rule="r")],
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await made.ask()

    assert type(made.disorders.caught) is NotFound
    assert vars(made.disorders.caught) == vars(made.users.error)


async def test_an_unexpected_error_arrives_without_its_text():
    async with world() as made:
        made.users.error = ValueError("Ada cannot sleep")
        with pytest.raises(grpc.aio.AioRpcError):
            await made.ask()

    assert made.disorders.caught.reason == "INTERNAL"
    assert "Ada" not in str(made.disorders.caught)


async def test_calls_at_the_same_time_keep_their_callers_apart():
    async with world() as made:
        await asyncio.gather(*(made.ask(metadata=[("x-request-id", f"r{number}")]) for number in range(30)))

    assert sorted(seen.request_id for seen in made.users.seen) == sorted(f"r{number}" for number in range(30))


async def test_a_call_while_a_connection_is_held_is_refused():
    async with world() as made:
        stub = made.registry.for_module("mentalhealth").stub(user_service_pb2_grpc.UserServiceStub)
        token = connection_held.set(True)
        with pytest.raises(ConnectionHeld, match=r"/aura\.users\.v1\.UserService/GetUser was called while"):
            stub.GetUser(user_service_pb2.GetUserRequest(user_id="x"))
        connection_held.reset(token)

    assert made.users.seen == []


async def test_a_dependency_that_nobody_serves_is_unimplemented():
    registry = registry_of(InProcessServer())
    stub = registry.for_module("mentalhealth").stub(user_service_pb2_grpc.UserServiceStub)

    error = await failure_from(stub.GetUser(user_service_pb2.GetUserRequest()))

    assert error.code is Code.UNIMPLEMENTED


def test_knows_the_owner_of_a_generated_class():
    owner = owner_of_generated(user_service_pb2_grpc.UserServiceStub, "Stub")

    assert (owner.module, owner.service) == ("users", "aura.users.v1.UserService")


def test_a_servicer_must_implement_a_contract():
    with pytest.raises(TypeError, match="World implements no generated Servicer; derive it from one"):
        generated_servicer(World)


async def test_a_modules_stub_takes_what_a_stock_stub_takes():
    async with world() as made:
        stub = made.registry.for_module("mentalhealth").stub(user_service_pb2_grpc.UserServiceStub)
        request = user_service_pb2.GetUserRequest(user_id="x")

        user = await stub.GetUser(
            request, timeout=5, metadata=(("k", "v"),), wait_for_ready=True, compression=grpc.Compression.NoCompression
        )

    assert user.user_id == "x"
    assert made.users.seen[0].metadata["k"] == "v"
