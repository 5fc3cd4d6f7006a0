"""Rights that end: at once where they are taken away, within a second elsewhere, on calls and on open streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.host import Host
from aura.kernel.security import access_changes, callers
from aura.kernel.settings import Settings
from aura.modules import AURA_MODULES
from generated.aura.events.v1 import event_admin_service_pb2 as events
from generated.aura.events.v1.event_admin_service_pb2_grpc import EventAdminServiceStub
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ListTherapySessionsRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_OPERATOR, ROLE_PATIENT, ROLE_SUPPORT
from generated.aura.users.v1 import authentication_service_pb2 as accounts
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import CreateUserRequest, DeactivateUserRequest, RevokeRoleRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.partitions.partitions import topology_of
from tests.support.accounts import PASSWORD, bearer, set_password
from tests.support.cluster import KEYS
from tests.support.root import root_channel

SPREADS = {"one process": (("users", "mentalhealth"),), "two processes": (("users",), ("mentalhealth",))}
BOUND = {"one process": 0.3, "two processes": 1.0}
LOST_BOUND = callers.ACCESS_SECONDS + 1.5
Revoke = Callable[["Somebody"], Awaitable[Any]]


@dataclass
class Somebody:
    """A user who is logged in, and ways to every process, the one that hosts users first."""

    user_id: str
    token: list[tuple[str, str]]
    users: Any
    authentication: Any
    channels: list[grpc.aio.Channel]

    def list_sessions(self) -> Any:
        """A call that the last process serves."""
        stub: Any = TherapySessionServiceStub(self.channels[-1])
        return stub.ListTherapySessions(ListTherapySessionsRequest(), metadata=self.token)

    def follow_events(self) -> Any:
        """A stream that the last process serves, and on which nothing comes."""
        stub: Any = EventAdminServiceStub(self.channels[-1])
        return stub.TailEvents(events.TailEventsRequest(subject="nothing"), metadata=self.token)


async def lose_role(who: Somebody) -> None:
    for role in (ROLE_SUPPORT, ROLE_OPERATOR):
        await who.users.RevokeRole(RevokeRoleRequest(user_id=who.user_id, role=role, reason="no more"))


async def deactivated(who: Somebody) -> None:
    await who.users.DeactivateUser(DeactivateUserRequest(user_id=who.user_id, reason="left"))


async def log_out(who: Somebody) -> None:
    await who.authentication.Logout(accounts.LogoutRequest(), metadata=who.token)


@pytest.fixture(params=SPREADS)
def spread(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def somebody(spread: str, database_url: URL, tmp_path: Path) -> AsyncIterator[Somebody]:
    topology = topology_of(SPREADS[spread])
    async with AsyncExitStack() as stack:
        for name in topology.processes:
            host = Host(
                settings=Settings(environment="test", data_dir=tmp_path, http_port=None, password_memory_kib=8192),
                specs=AURA_MODULES,
                database_url=database_url,
                keys=KEYS,
                topology=topology,
                process=name,
            )
            await host.start()
            stack.push_async_callback(host.stop, 0)
        first = topology.processes["p0"]
        root = await stack.enter_async_context(root_channel(first.address, process="p0"))
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(process.address))
            for process in topology.processes.values()
        ]
        users: Any = UserServiceStub(root)
        authentication: Any = AuthenticationServiceStub(channels[0])
        user = User(email="a@example.com", display_name="A", roles=[ROLE_SUPPORT, ROLE_OPERATOR, ROLE_PATIENT])
        made = await users.CreateUser(CreateUserRequest(user=user))
        await set_password(database_url, made.user_id)
        tokens = await authentication.Login(accounts.LoginRequest(email=user.email, password=PASSWORD))
        token = bearer(tokens.access_token)
        yield Somebody(made.user_id, token, users, authentication, channels)


async def seconds_until_refused(who: Somebody, code: grpc.StatusCode) -> float:
    """Calls again and again until the answer is the one that is waited for; returns how long that took."""
    begin = time.monotonic()
    while await who.list_sessions().code() is not code:
        assert time.monotonic() - begin < 2 * LOST_BOUND
        await asyncio.sleep(0.01)
    return time.monotonic() - begin


@pytest.mark.alone
@pytest.mark.parametrize("revoke", [lose_role, deactivated, log_out])
async def test_calls_and_streams_end_in_time(somebody: Somebody, spread: str, revoke: Revoke, record_figure: Any):
    assert await somebody.list_sessions().code() is grpc.StatusCode.OK
    stream = somebody.follow_events()
    await asyncio.sleep(0.3)
    assert not stream.done()

    begin = time.monotonic()
    await revoke(somebody)
    ended = await asyncio.wait_for(stream.code(), LOST_BOUND)
    took = time.monotonic() - begin
    unary = await seconds_until_refused(somebody, grpc.StatusCode.UNAUTHENTICATED)

    assert ended in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}
    assert max(took, unary) < BOUND[spread] + 0.2  # the call that takes the right away is part of it
    record_figure(f"revoked_seconds_{spread.replace(' ', '_')}", round(max(took, unary), 3))


async def test_a_role_that_is_lost_closes_what_it_opened(somebody: Somebody, spread: str):
    del spread
    stream = somebody.follow_events()
    await asyncio.sleep(0.3)

    await lose_role(somebody)
    relogin = await somebody.authentication.Login(accounts.LoginRequest(email="a@example.com", password=PASSWORD))
    somebody.token = bearer(relogin.access_token)

    assert await asyncio.wait_for(stream.code(), 3) is grpc.StatusCode.UNAUTHENTICATED
    assert await somebody.follow_events().code() is grpc.StatusCode.PERMISSION_DENIED
    assert await somebody.list_sessions().code() is grpc.StatusCode.OK


@pytest.mark.alone
@pytest.mark.parametrize("revoke", [deactivated])
async def test_lost_notifications_delay_it_by_seconds_only(
    somebody: Somebody, spread: str, revoke: Revoke, monkeypatch: pytest.MonkeyPatch
):
    if spread == "one process":
        pytest.skip("there is no notification to lose")

    async def lose(*_: Any) -> None:
        """Says nothing."""

    monkeypatch.setattr(access_changes.AccessChanges, "announce", lose)
    assert await somebody.list_sessions().code() is grpc.StatusCode.OK
    stream = somebody.follow_events()
    await asyncio.sleep(0.3)

    await revoke(somebody)
    begin = time.monotonic()
    await asyncio.wait_for(stream.code(), LOST_BOUND)
    await seconds_until_refused(somebody, grpc.StatusCode.UNAUTHENTICATED)

    assert time.monotonic() - begin < LOST_BOUND


async def test_a_stream_ends_though_an_earlier_one_had_less_time(somebody: Somebody):
    stub: Any = EventAdminServiceStub(somebody.channels[-1])
    first = stub.TailEvents(events.TailEventsRequest(subject="nothing"), metadata=somebody.token, timeout=0.5)
    await asyncio.sleep(0.2)
    second = somebody.follow_events()
    assert await first.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    await deactivated(somebody)

    assert await asyncio.wait_for(second.code(), 3) is grpc.StatusCode.UNAUTHENTICATED


async def test_streams_go_on_for_those_who_keep_the_right(somebody: Somebody):
    stream = somebody.follow_events()
    await asyncio.sleep(callers.ACCESS_SECONDS + 1)

    assert not stream.done()
    stream.cancel()
