"""A server killed at any moment starts again, and keeps all that it has acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import grpc
import pytest

from aura.kernel.security.keys import read_secret_key
from generated.aura.mentalhealth.v1.therapy_session_pb2 import TherapySession
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import (
    GetTherapySessionRequest,
    ScheduleTherapySessionRequest,
)
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import BatchGetUsersRequest, CreateUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.e2e.conftest import NewServer
from tests.support.root import root_channel
from tests.support.server_process import ServerProcess

# A kill during the start: before initdb, during it, during recovery or migration. None: under a stream of calls.
ROUNDS: list[tuple[float, float] | None] = [(0.3, 1.0), (0.8, 2.0), None, (0.5, 1.5), None, None, (0.8, 2.5), None]
WRITERS = 8
BATCH = 500
LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN}


@dataclass
class Acknowledged:
    """What a server said that it has written."""

    users: list[User] = field(default_factory=list)
    sessions: list[TherapySession] = field(default_factory=list)
    failures: list[grpc.aio.AioRpcError] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.users) + len(self.sessions)


@dataclass
class Writers:
    """Clients that create people and book them as fast as they are answered."""

    acknowledged: Acknowledged
    numbers: itertools.count = field(default_factory=itertools.count)

    async def write_until_lost(self, server: ServerProcess) -> None:
        async with root_channel(server.address, keys=server.keys) as channel:
            try:
                async with asyncio.TaskGroup() as writers:
                    for _ in range(WRITERS):
                        writers.create_task(self._write(channel))
            except* grpc.aio.AioRpcError as lost:
                self.acknowledged.failures += lost.exceptions

    async def _write(self, channel: grpc.aio.Channel) -> None:
        users, sessions = UserServiceStub(channel), TherapySessionServiceStub(channel)
        while True:
            people = [await self._create(users, role) for role in (ROLE_THERAPIST, ROLE_PATIENT)]
            start = datetime.now(UTC) + timedelta(days=1)
            request = ScheduleTherapySessionRequest(
                therapist_id=people[0].user_id,
                patient_id=people[1].user_id,
                start_time=start,
                end_time=start + timedelta(minutes=50),
            )
            self.acknowledged.sessions.append(await sessions.ScheduleTherapySession(request))

    async def _create(self, users: UserServiceStub, role: int) -> User:
        user = User(email=f"person{next(self.numbers)}@example.com", display_name="Ada", roles=[role])
        created = await users.CreateUser(CreateUserRequest(user=user))
        self.acknowledged.users.append(created)
        return created


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    new_server: NewServer, record_property: pytest.RecordProperty
):
    seed = time.time_ns() % 1_000_000
    record_property("seed", seed)
    moments = random.Random(seed)
    server, acknowledged = new_server(), Acknowledged()
    writers = Writers(acknowledged)
    socket_directories, written = set(), []

    for during_start in ROUNDS:
        before = len(acknowledged)
        if during_start:
            server.launch()
            await asyncio.sleep(moments.uniform(*during_start))
        else:
            await asyncio.to_thread(server.start)
            writing = asyncio.create_task(writers.write_until_lost(server))
            await asyncio.sleep(moments.uniform(0.3, 1.0))
        assert server.is_running(), f"seed {seed}: {server.logs()}"
        socket_directories.add(server.socket_directory())
        server.kill()
        if not during_start:
            await writing
            written.append(len(acknowledged) - before)
    await asyncio.to_thread(server.start)
    socket_directories.add(server.socket_directory())

    assert min(written) > 0, f"seed {seed}: each server that served has acknowledged something"
    assert {failure.code() for failure in acknowledged.failures} <= LOST
    await assert_all_there(server, acknowledged)
    await assert_nothing_half_written(server)
    assert server.stop() == 0
    assert server.postgres() == [], "an orphan"
    assert [directory for directory in socket_directories if directory and directory.exists()] == []


async def assert_all_there(server: ServerProcess, acknowledged: Acknowledged) -> None:
    async with root_channel(server.address, keys=server.keys) as channel:
        users, sessions = UserServiceStub(channel), TherapySessionServiceStub(channel)
        for first in range(0, len(acknowledged.users), BATCH):
            batch = acknowledged.users[first : first + BATCH]
            found = await users.BatchGetUsers(BatchGetUsersRequest(user_ids=[user.user_id for user in batch]))
            assert list(found.users) == batch
        for session in acknowledged.sessions:
            assert await sessions.GetTherapySession(GetTherapySessionRequest(session_id=session.session_id)) == session


async def assert_nothing_half_written(server: ServerProcess) -> None:
    """A session is there with its history and both its participants, or not at all."""
    password = read_secret_key(server.data_dir / "secret.key", create=False).password("embedded-postgres")
    connection = await asyncpg.connect(
        f"postgresql://postgres:{password}@/aura?host={server.socket_directory()}&port=5432"
    )
    try:
        halves = await connection.fetch(
            "SELECT session_id FROM mentalhealth.therapy_sessions AS s WHERE "
            "(SELECT count(*) FROM mentalhealth.session_participants AS p WHERE p.session_id = s.session_id) <> 2 OR "
            "(SELECT count(*) FROM mentalhealth.session_transitions AS t WHERE t.session_id = s.session_id) <> 1"
        )
    finally:
        await connection.close()
    assert halves == []
