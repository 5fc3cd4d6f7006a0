from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from generated.aura.users.v1 import user_service_pb2 as pb
from tests.support.cluster import Cluster
from tests.support.failures import Failure, failure_of
from tests.support.platform import Platform, running_platform

pytestmark = pytest.mark.filterwarnings(  # asyncpg drops a connection whose server dies while it connects
    "ignore:Exception ignored in. <function Connection.__del__:pytest.PytestUnraisableExceptionWarning"
)
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that the test may end."""
    cluster = Cluster(tmp_path / "postgres", durable=True)
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
async def frail(own_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Platform]:
    await own_cluster.make_template()
    async with own_cluster.clone() as name, running_platform(own_cluster.url(name), tmp_path) as platform:
        yield platform
        own_cluster.revive()


async def health_of(platform: Platform, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(platform.channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status


async def becomes(platform: Platform, status: int) -> None:
    async with asyncio.timeout(15):
        while await health_of(platform) != status:  # noqa: ASYNC110 the health service is what is tested
            await asyncio.sleep(0.05)


async def patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Repeats a call that gets UNAVAILABLE, as gRPC's retry policy does."""
    async with asyncio.timeout(15):
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.1)


async def test_a_database_that_goes_away_and_comes_back(frail: Platform, own_cluster: Cluster):
    user = await frail.create_patient()
    get = pb.GetUserRequest(user_id=user.user_id)

    own_cluster.kill()
    failures = [await failure_of(frail.users.GetUser(get)) for _ in range(3)]
    await becomes(frail, NOT_SERVING)
    own_cluster.revive()
    await becomes(frail, SERVING)

    for failure in failures:
        assert failure.code is grpc.StatusCode.UNAVAILABLE
        assert failure.reason == "DATABASE_UNAVAILABLE"
        assert failure.error.retry_after is not None
    assert await frail.users.GetUser(get) == user
    assert await health_of(frail, "aura.mentalhealth.v1.DisorderService") == SERVING


async def test_a_database_that_hangs_is_not_waited_for_beyond_the_deadline(frail: Platform, own_cluster: Cluster):
    user = await frail.create_patient()
    frozen = own_cluster.processes()
    for process in frozen:
        process.send_signal(signal.SIGSTOP)

    failure = await failure_of(frail.users.GetUser(pb.GetUserRequest(user_id=user.user_id), timeout=0.5))
    await becomes(frail, NOT_SERVING)
    for process in frozen:
        process.send_signal(signal.SIGCONT)
    await becomes(frail, SERVING)

    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await frail.users.GetUser(pb.GetUserRequest(user_id=user.user_id)) == user


async def test_nothing_acknowledged_is_lost_when_the_database_is_killed_under_load(
    frail: Platform, own_cluster: Cluster
):
    acknowledged, refused = [], []

    async def work() -> None:
        for _ in range(40):
            try:
                acknowledged.append((await frail.create_patient()).user_id)
            except grpc.aio.AioRpcError as error:
                refused.append(error.code())
                await asyncio.sleep(0.05)

    load = [asyncio.create_task(work()) for _ in range(5)]
    for _ in range(3):
        await asyncio.sleep(0.3)
        own_cluster.kill()
        await asyncio.sleep(0.2)
        own_cluster.revive()
    await asyncio.gather(*load)
    await becomes(frail, SERVING)

    response = await patiently(lambda: frail.users.BatchGetUsers(pb.BatchGetUsersRequest(user_ids=acknowledged)))
    assert [user.user_id for user in response.users] == acknowledged
    assert set(refused) <= {grpc.StatusCode.UNAVAILABLE}
    assert refused


@pytest.fixture
async def cramped(database_url: Any, tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform that may do little at a time."""
    limits = {
        "database_pool_size": 1,
        "database_pool_overflow": 0,
        "database_pool_timeout_seconds": 0.2,
        "statement_timeout_seconds": 0.5,
        "lock_timeout_seconds": 0.2,
        "maximum_concurrent_calls": 4,
    }
    async with running_platform(database_url, tmp_path, **limits) as platform:
        yield platform


async def fail_while_locked(platform: Platform, database_url: Any, lock: str, calls: int = 1) -> list[Failure]:
    """Makes calls while another connection holds a lock."""
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(lock)
            return await asyncio.gather(*(failure_of(platform.create_patient()) for _ in range(calls)))
    finally:
        await connection.close()


async def test_a_lock_that_is_held_too_long(cramped: Platform, database_url: Any):
    (failure,) = await fail_while_locked(cramped, database_url, "LOCK TABLE users.users IN EXCLUSIVE MODE")

    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "LOCK_TIMEOUT")
    assert failure.error.retry_after is not None


async def test_more_calls_than_connections_and_than_the_server_serves(cramped: Platform, database_url: Any):
    failures = await fail_while_locked(cramped, database_url, "LOCK TABLE users.users IN EXCLUSIVE MODE", calls=12)

    reasons = [failure.reason for failure in failures]
    assert reasons.count("OVERLOADED") == 8
    assert set(reasons) == {"OVERLOADED", "DATABASE_BUSY", "LOCK_TIMEOUT"}
    for failure in failures:
        if failure.reason != "LOCK_TIMEOUT":
            assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert failure.error.retry_after is not None
    assert await cramped.create_patient()


async def test_a_statement_that_takes_too_long(cramped: Platform, database_url: Any):
    url = database_url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE FUNCTION users.dawdle() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN PERFORM pg_sleep(5); RETURN NEW; END';"
        "CREATE TRIGGER dawdle BEFORE INSERT ON users.users EXECUTE FUNCTION users.dawdle()"
    )
    await connection.close()

    failure = await failure_of(cramped.create_patient())

    assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "STATEMENT_TIMEOUT")


def test_the_processes_of_a_cluster_are_found(own_cluster: Cluster):
    assert all(isinstance(process, psutil.Process) for process in own_cluster.processes())
    assert own_cluster.processes()
