"""Processes of a topology as an operator runs them: alone, all at once, moved while they are used, and killed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from generated.aura.mentalhealth.v1.disorder_service_pb2 import GetDisorderRequest
from generated.aura.mentalhealth.v1.disorder_service_pb2_grpc import DisorderServiceStub
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import (
    GetTherapySessionRequest,
    ScheduleTherapySessionRequest,
)
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import CreateUserRequest, GetUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.e2e.conftest import NewServer
from tests.partitions.partitions import topology_of, write_topology
from tests.support.failures import failure_of
from tests.support.root import blocking_root_channel, root_channel, signed_in_channel
from tests.support.server_process import ServerProcess

RETRYING = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
SERVES = re.compile(r"(\S+) +\|.*Aura serves gRPC at (\S+)\n")
TOGETHER, APART = (("users", "mentalhealth"),), (("users",), ("mentalhealth",))


@pytest.fixture
def new_process(new_server_on_clone: NewServer) -> Callable[..., ServerProcess]:
    """Makes processes of topologies, on this test's database."""

    def make(file: Path, process: str, *options: str, **settings: object) -> ServerProcess:
        arguments = (*options, "server.py", "--topology", str(file), "--process", process)
        return new_server_on_clone(arguments=arguments, port=None, **settings)

    return make


async def people(channel: grpc.aio.Channel) -> tuple[str, str]:
    made = [
        await UserServiceStub(channel).CreateUser(
            CreateUserRequest(user=User(email=f"p{number}@example.com", display_name=f"P {number}", roles=[role]))
        )
        for number, role in enumerate((ROLE_THERAPIST, ROLE_PATIENT))
    ]
    return made[0].user_id, made[1].user_id


def booking(therapist: str, patient: str, number: int) -> ScheduleTherapySessionRequest:
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1, minutes=10 * number)
    return ScheduleTherapySessionRequest(
        therapist_id=therapist,
        patient_id=patient,
        start_time=start,
        end_time=start + timedelta(minutes=10),
        request_id=f"booking-{number}",
    )


# One process


@pytest.mark.parametrize(
    ("process", "hosted", "absent"), [("p0", "users", "mentalhealth"), ("p1", "mentalhealth", "users")]
)
def test_a_process_imports_no_module_that_it_does_not_host(new_process, tmp_path: Path, process, hosted, absent):
    file = write_topology(tmp_path / "topology.toml", topology_of(APART))

    server = new_process(file, process, "-X", "importtime").start()

    imported = {
        line.rpartition("|")[2].strip() for line in server.logs().splitlines() if line.startswith("import time:")
    }
    assert [name for name in imported if name.startswith(f"aura.{hosted}.")]
    assert [name for name in imported if name.startswith(f"aura.{absent}")] == []


def test_a_process_that_imports_what_it_does_not_host_refuses_to_start(new_server_on_clone, tmp_path: Path):
    file = write_topology(tmp_path / "topology.toml", topology_of(APART))
    command = f"""
import aura.mentalhealth, runpy, sys
sys.argv = ["server.py", "--topology", "{file}", "--process", "p0"]
runpy.run_path("server.py", run_name="__main__")
"""

    finished = new_server_on_clone(arguments=("-c", command), port=None).launch().finish()

    assert finished.code == 1
    (complaint,) = finished.complaints
    assert complaint.startswith("process p0 imports aura.mentalhealth, which it does not host")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"process": None}, "say which process of the topology this is: --process NAME, or AURA_PROCESS; p0, p1"),
        ({"process": "p2"}, "the topology has no process p2; it has p0, p1"),
        ({"port": 50051}, "the topology says where each process serves: unset AURA_PORT"),
        (
            {"topology_file": None},
            "AURA_PROCESS names a process of a topology: set AURA_TOPOLOGY_FILE, or --topology, too",
        ),
        (
            {"database_url": None},
            (
                "the processes of a topology need one database between them: set AURA_DATABASE_URL, or start them all: "
                "aura run --topology {file}"
            ),
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(new_server_on_clone, tmp_path: Path, settings, complaint):
    file = write_topology(tmp_path / "topology.toml", topology_of(APART))
    server = new_server_on_clone(port=None)
    server._settings |= {"TOPOLOGY_FILE": file, "PROCESS": "p0"}
    server._settings |= {name.upper(): value for name, value in settings.items()}

    finished = server.launch().finish()

    assert finished.code == 1
    assert finished.complaints == [complaint.format(file=file)]


# Moved while it is used


@dataclass
class Load:
    """Clients that book and read, and retry as gRPC does, until they are told to stop."""

    channel: grpc.aio.Channel
    therapist: str
    patient: str
    codes: Counter[str] = field(default_factory=Counter)
    numbers: Any = field(default_factory=lambda: iter(range(100_000)))
    ended: bool = False

    async def run(self) -> None:
        sessions, users = TherapySessionServiceStub(self.channel), UserServiceStub(self.channel)
        while not self.ended:
            made = await self._noted(
                sessions.ScheduleTherapySession, booking(self.therapist, self.patient, next(self.numbers))
            )
            if made is not None:
                await self._noted(sessions.GetTherapySession, GetTherapySessionRequest(session_id=made.session_id))
            await self._noted(users.GetUser, GetUserRequest(user_id=self.therapist))
            await self._noted(DisorderServiceStub(self.channel).GetDisorder, GetDisorderRequest(code="F33.1"))

    async def _noted(self, method: Any, request: Any) -> Any:
        try:
            answer = await method(request, timeout=15)
        except grpc.aio.AioRpcError as error:
            self.codes[f"{type(request).__name__}: {error.code().name} {error.details()}"] += 1
            return None
        self.codes["OK"] += 1
        return answer


@asynccontextmanager
async def load(addresses: list[str], clients: int = 4) -> AsyncIterator[Load]:
    target = f"ipv4:{','.join(addresses)}"
    options = [
        ("grpc.service_config", json.dumps(RETRYING)),
        ("grpc.max_reconnect_backoff_ms", 500),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
    ]
    async with await signed_in_channel(target, users=addresses[0], process="p0", options=options) as channel:
        made = Load(channel, *await people(channel))
        running = [asyncio.create_task(made.run()) for _ in range(clients)]
        try:
            yield made
        finally:
            made.ended = True
            await asyncio.gather(*running)


async def test_a_module_moves_to_a_process_of_its_own_without_a_failed_call(new_process, tmp_path: Path, record_figure):
    apart = topology_of(APART)
    core, care = apart.processes.values()
    together = topology_of(TOGETHER)
    file = write_topology(tmp_path / "topology.toml", together.listening("p0", core.port))
    old = await asyncio.to_thread(new_process(file, "p0", rate_limit_per_peer=0, rate_limit_per_account=0).start)

    async with load([core.address, care.address]) as clients:
        await asyncio.sleep(1)
        write_topology(file, apart)
        await asyncio.to_thread(new_process(file, "p1", rate_limit_per_peer=0, rate_limit_per_account=0).start)
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(old.stop) == 0
        await asyncio.to_thread(old.start)
        await asyncio.sleep(1)

    record_figure("moved_calls", clients.codes.total())
    record_figure("moved_failures", clients.codes.total() - clients.codes["OK"])
    assert set(clients.codes) == {"OK"}
    assert clients.codes["OK"] > 100


# Killed


@pytest.mark.alone
async def test_kill_9_of_users_fails_what_needs_users_and_nothing_else(new_process, tmp_path: Path, record_figure):
    topology = topology_of(APART)
    core, care = topology.processes.values()
    file = write_topology(tmp_path / "topology.toml", topology)
    users = await asyncio.to_thread(new_process(file, "p0").start)
    await asyncio.to_thread(new_process(file, "p1").start)
    async with root_channel(care.address, process="p1") as channel:
        sessions, disorders = TherapySessionServiceStub(channel), DisorderServiceStub(channel)
        therapist, patient = await people(channel)
        held = await sessions.ScheduleTherapySession(booking(therapist, patient, 0))

        users.kill()

        for number in range(1, 4):
            begin = time.monotonic()
            failure = await failure_of(sessions.ScheduleTherapySession(booking(therapist, patient, number), timeout=1))
            assert time.monotonic() - begin < 1
            assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "MODULE_UNAVAILABLE")
            assert failure.error.metadata == {"module": "users", "process": core.name}
            assert (await disorders.GetDisorder(GetDisorderRequest(code="F33.1"), timeout=1)).code == "F33.1"
            got = await sessions.GetTherapySession(GetTherapySessionRequest(session_id=held.session_id), timeout=1)
            assert got.session_id == held.session_id

        await asyncio.to_thread(users.start)
        begin = time.monotonic()
        await sessions.ScheduleTherapySession(booking(therapist, patient, 4), timeout=10)
        recovered = time.monotonic() - begin
        record_figure("recovery_seconds", round(recovered, 2))
        assert recovered <= 2


# All at once


@pytest.fixture
def run_all(new_server: NewServer, tmp_path: Path) -> ServerProcess:
    file = write_topology(tmp_path / "topology.toml", topology_of(APART))
    return new_server(arguments=("-m", "aura", "run", "--topology", str(file)), port=None)


def wait_until_all_serve(server: ServerProcess, count: int = 2) -> dict[str, str]:
    deadline = time.monotonic() + 40
    while len(found := dict(SERVES.findall(server.logs()))) < count:
        assert server.is_running(), server.logs()
        assert time.monotonic() < deadline, server.logs()
        time.sleep(0.05)
    return found


def test_runs_all_processes_on_one_embedded_database_until_ctrl_c(run_all: ServerProcess):
    run_all.launch()
    addresses = wait_until_all_serve(run_all)
    with blocking_root_channel(addresses["p1"], process="p1", keys=run_all.keys) as channel:
        user = User(email="a@example.com", display_name="A", roles=[ROLE_PATIENT])
        made = UserServiceStub(channel).CreateUser(CreateUserRequest(user=user), timeout=10)
    children = psutil.Process(run_all.pid).children(recursive=True)

    run_all.press_ctrl_c()
    finished = run_all.finish()

    assert made.email == "a@example.com"
    assert finished.code == 0
    assert [child for child in children if child.is_running()] == []
    assert "Traceback" not in finished.output
    assert all(re.match(r"p[01] \| ", line) for line in finished.output.splitlines()), finished.output


def test_when_one_process_ends_the_others_are_stopped(run_all: ServerProcess):
    run_all.launch()
    wait_until_all_serve(run_all)
    servers = [child for child in psutil.Process(run_all.pid).children() if "serve" in child.cmdline()]
    assert len(servers) == 2

    servers[0].kill()
    finished = run_all.finish()

    assert finished.code == 1
    assert "ended with status -9; stopping the others" in finished.output
    assert not servers[1].is_running()


def test_killed_with_9_it_leaves_nothing_behind(run_all: ServerProcess):
    run_all.launch()
    wait_until_all_serve(run_all)
    children = psutil.Process(run_all.pid).children(recursive=True)
    assert len(children) > 3

    run_all.send(signal.SIGKILL)
    run_all.wait()

    _, left = psutil.wait_procs(children, timeout=15)
    assert left == []
