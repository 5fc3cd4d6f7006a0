"""How a server ends: by SIGTERM or Ctrl-C, with calls under way, in time, and with nothing left behind."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from aura.kernel.security.keys import read_secret_key
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ScheduleTherapySessionRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import BatchGetUsersRequest, CreateUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.e2e.conftest import NewServer
from tests.support.root import root_channel
from tests.support.server_process import ServerProcess

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SESSIONS = "aura.mentalhealth.v1.TherapySessionService"
LONG_DRAIN = 60  # a test that waited for it would fail


@asynccontextmanager
async def hanging_schedule(channel: grpc.aio.Channel, url: str) -> AsyncIterator[tuple[Awaitable[Any], Any]]:
    """Lends a call that waits for a lock, and the transaction that holds it."""
    request = await booking(channel)
    holder = await asyncpg.connect(url)
    lock = holder.transaction()
    await lock.start()
    await holder.execute("LOCK TABLE mentalhealth.therapy_sessions IN EXCLUSIVE MODE")
    call = asyncio.ensure_future(TherapySessionServiceStub(channel).ScheduleTherapySession(request))
    try:
        await waits_for_lock(url)
        yield call, lock
    finally:
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        holder.terminate()


async def waits_for_lock(url: str) -> None:
    observer = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(10):
            while not await observer.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        await observer.close()


async def booking(channel: grpc.aio.Channel) -> ScheduleTherapySessionRequest:
    users = UserServiceStub(channel)
    therapist, patient = [
        await users.CreateUser(
            CreateUserRequest(user=User(email=f"{role}@example.com", display_name="Ada", roles=[role]))
        )
        for role in (ROLE_THERAPIST, ROLE_PATIENT)
    ]
    start = datetime.now(UTC) + timedelta(days=1)
    return ScheduleTherapySessionRequest(
        therapist_id=therapist.user_id,
        patient_id=patient.user_id,
        start_time=start,
        end_time=start + timedelta(minutes=50),
    )


async def ended(server: ServerProcess, seconds: float) -> int:
    return await asyncio.to_thread(server.wait, seconds)


def told_nothing_alarming(server: ServerProcess) -> bool:
    return not any(word in server.logs() for word in ("Traceback", "[error", "exception was never retrieved"))


async def bookings(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM mentalhealth.therapy_sessions")
    finally:
        await connection.close()


async def test_lets_a_call_under_way_finish_and_takes_no_new_ones(new_server_on_clone: NewServer, plain_url: str):
    server = new_server_on_clone(drain_seconds=LONG_DRAIN).start()
    async with root_channel(server.address, keys=server.keys) as channel:
        watches = [
            health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
            for service in ("", SESSIONS)
        ]
        before = [(await watch.read()).status for watch in watches]
        async with hanging_schedule(channel, plain_url) as (call, lock):
            server.send(signal.SIGTERM)
            after = [(await asyncio.wait_for(watch.read(), 5)).status for watch in watches]
            for watch in watches:
                watch.cancel()
            refused = [await refusal(channel), await refusal_on_a_new_connection(server)]
            waits = not call.done() and server.is_running()
            await lock.rollback()
            session = await asyncio.wait_for(call, 5)
        code = await ended(server, 10)

    assert before == [SERVING, SERVING]
    assert after == [NOT_SERVING, NOT_SERVING]
    assert refused == [grpc.StatusCode.UNAVAILABLE] * 2
    assert waits
    assert session.session_id
    assert await bookings(plain_url) == 1
    assert code == 0
    assert told_nothing_alarming(server)


async def refusal(channel: grpc.aio.Channel) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await UserServiceStub(channel).BatchGetUsers(BatchGetUsersRequest(), timeout=5)
    return refused.value.code()


async def refusal_on_a_new_connection(server: ServerProcess) -> grpc.StatusCode:
    options = [("grpc.use_local_subchannel_pool", 1)]  # otherwise it shares the connection of the first channel
    async with root_channel(server.address, options=options) as channel:
        return await refusal(channel)


async def test_gives_up_on_a_call_when_the_drain_time_is_over(new_server_on_clone: NewServer, plain_url: str):
    server = new_server_on_clone(drain_seconds=0.5).start()
    async with (
        root_channel(server.address, keys=server.keys) as channel,
        hanging_schedule(channel, plain_url) as (call, _),
    ):
        asked = time.monotonic()
        server.send(signal.SIGTERM)
        with pytest.raises(grpc.aio.AioRpcError) as given_up:
            await asyncio.wait_for(call, 10)
        code = await ended(server, 10)
        took = time.monotonic() - asked

    assert given_up.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert 0.5 <= took < 5
    assert code == 0
    assert await bookings(plain_url) == 0
    assert "Traceback" not in server.logs()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(new_server_on_clone: NewServer, plain_url: str, second: signal.Signals):
    server = new_server_on_clone(drain_seconds=LONG_DRAIN).start()
    async with (
        root_channel(server.address, keys=server.keys) as channel,
        hanging_schedule(channel, plain_url) as (call, _),
    ):
        server.send(signal.SIGTERM)
        await asyncio.sleep(0.5)
        drains = server.is_running() and not call.done()
        asked = time.monotonic()
        server.send(second)
        code = await ended(server, 10)
        took = time.monotonic() - asked

    assert drains
    assert took < 3
    assert code == 0
    assert "Traceback" not in server.logs()


async def test_ctrl_c_ends_it_and_its_postgres_but_not_a_call_under_way(new_server: NewServer):
    server = new_server(drain_seconds=LONG_DRAIN).start()
    url = embedded_url(server)
    processes = server.postgres()
    async with root_channel(server.address, keys=server.keys) as channel:
        async with hanging_schedule(channel, url) as (call, lock):
            server.press_ctrl_c()
            await asyncio.sleep(0.5)
            waits = not call.done() and server.is_running()
            await lock.rollback()
            session = await asyncio.wait_for(call, 5)
        code = await ended(server, 15)

    assert len(processes) > 1
    assert waits
    assert session.session_id
    assert code == 0
    assert server.postgres() == []
    assert not server.socket_directory().exists()
    assert told_nothing_alarming(server)


async def test_ctrl_c_twice_ends_all_at_once(new_server: NewServer):
    server = new_server(drain_seconds=LONG_DRAIN).start()
    url = embedded_url(server)
    async with (
        root_channel(server.address, keys=server.keys) as channel,
        hanging_schedule(channel, url) as (call, _),
    ):
        server.press_ctrl_c()
        await asyncio.sleep(0.5)
        waits = not call.done() and server.is_running()
        server.press_ctrl_c()
        code = await ended(server, 10)

    assert waits
    assert code == 0
    assert server.postgres() == []
    assert "Traceback" not in server.logs()


@pytest.mark.parametrize(
    ("phase", "number"), [("initdb", signal.SIGINT), ("initdb", signal.SIGTERM), ("migration", signal.SIGINT)]
)
def test_can_be_stopped_while_it_starts(new_server: NewServer, phase: str, number: signal.Signals):
    server = new_server().launch()
    wait_for(server, phase)

    server.send(number)
    code = server.wait(10)

    assert code in {0, 128 + signal.SIGINT, -signal.SIGTERM}
    assert left_after(server, seconds=10) == []
    assert "Traceback" not in server.logs()


def wait_for(server: ServerProcess, phase: str) -> None:
    reached = {"initdb": server.postgres, "migration": lambda: "database migrated" in server.logs()}[phase]
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def left_after(server: ServerProcess, *, seconds: float) -> list[Any]:
    deadline = time.monotonic() + seconds
    while (left := server.postgres()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def embedded_url(server: ServerProcess) -> str:
    password = read_secret_key(server.data_dir / "secret.key", create=False).password("embedded-postgres")
    return f"postgresql://postgres:{password}@/aura?host={server.socket_directory()}&port=5432"
