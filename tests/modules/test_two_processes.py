"""Two processes that need each other: what a caller sees when one of them is away, encrypted, or out of step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy import URL

from aura.kernel.host import Host
from aura.kernel.security.internal_identity import IDENTITY_METADATA, Identity, InternalIdentities
from aura.kernel.settings import Settings
from aura.kernel.tls import TlsError, TlsFiles
from aura.kernel.topology import Process, Topology
from aura.modules import AURA_MODULES
from generated.aura.mentalhealth.v1 import disorder_service_pb2, disorder_service_pb2_grpc
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import ScheduleTherapySessionRequest
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.modules.v1 import module_service_pb2 as modules
from generated.aura.modules.v1.module_service_pb2_grpc import ModuleServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1 import user_service_pb2
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.partitions.partitions import topology_of
from tests.support.certificates import certificates, credentials
from tests.support.cluster import KEYS
from tests.support.failures import failure_of
from tests.support.root import ROOT, CallerChannel, as_root, root_channel, vouched

DISORDER = disorder_service_pb2.GetDisorderRequest(code="F33.1")


def host(topology: Topology, process: str, url: URL, folder: Path) -> Host:
    return Host(
        settings=Settings(environment="test", data_dir=folder, http_port=None),
        specs=AURA_MODULES,
        database_url=url,
        keys=KEYS,
        topology=topology,
        process=process,
    )


@asynccontextmanager
async def running(topology: Topology, process: str, url: URL, folder: Path) -> AsyncIterator[Host]:
    hosted = host(topology, process, url, folder)
    await hosted.start()
    try:
        yield hosted
    finally:
        await hosted.stop(0)


@pytest.fixture
def topology() -> Topology:
    """Users in p0, mental health in p1."""
    return topology_of((("users",), ("mentalhealth",)))


async def people(channel: grpc.aio.Channel) -> tuple[str, str]:
    users = UserServiceStub(channel)
    made = [
        await users.CreateUser(
            user_service_pb2.CreateUserRequest(
                user=User(email=f"p{number}@example.com", display_name=f"P {number}", roles=[role])
            )
        )
        for number, role in enumerate((ROLE_THERAPIST, ROLE_PATIENT))
    ]
    return made[0].user_id, made[1].user_id


def booking(therapist: str, patient: str, *, hours: int = 24) -> ScheduleTherapySessionRequest:
    start = datetime.now(UTC) + timedelta(hours=hours)
    return ScheduleTherapySessionRequest(
        therapist_id=therapist, patient_id=patient, start_time=start, end_time=start + timedelta(minutes=50)
    )


# A process that is away


@pytest.mark.alone
@pytest.mark.parametrize("by_way_of", ["the caller's process", "another process"])
async def test_a_module_whose_process_is_away_is_unavailable_within_the_deadline(
    topology: Topology, database_url: URL, tmp_path: Path, by_way_of: str
):
    async with (
        running(topology, "p1", database_url, tmp_path) as care,
        root_channel(care.address, process="p1") as channel,
    ):
        called: Any = TherapySessionServiceStub(channel).ScheduleTherapySession(
            booking("0190a000-0000-7000-8000-000000000001", "0190a000-0000-7000-8000-000000000002"), timeout=1.5
        )
        if by_way_of == "another process":
            request = user_service_pb2.GetUserRequest(user_id="0190a000-0000-7000-8000-000000000001")
            called = UserServiceStub(channel).GetUser(request, timeout=1.5)
        begin = time.monotonic()
        failure = await failure_of(called)
        took = time.monotonic() - begin

        assert failure.code is grpc.StatusCode.UNAVAILABLE
        assert failure.reason == "MODULE_UNAVAILABLE"
        assert failure.error.metadata == {"module": "users", "process": "p0"}
        assert "users" in failure.details
        assert failure.error.retry_after is not None
        assert took < 1.5
        assert (await disorder_service_pb2_grpc.DisorderServiceStub(channel).GetDisorder(DISORDER)).code == "F33.1"


async def test_without_a_deadline_a_caller_does_not_wait_for_ever(
    topology: Topology, database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("aura.kernel.remote.PATIENCE_SECONDS", 0.5)
    async with (
        running(topology, "p1", database_url, tmp_path) as care,
        root_channel(care.address, process="p1") as channel,
    ):
        request = user_service_pb2.GetUserRequest(user_id="0190a000-0000-7000-8000-000000000001")

        failure = await failure_of(UserServiceStub(channel).GetUser(request))

    assert failure.reason == "MODULE_UNAVAILABLE"


async def test_a_call_that_begins_while_a_process_starts_waits_for_it(
    topology: Topology, database_url: URL, tmp_path: Path
):
    async with (
        running(topology, "p1", database_url, tmp_path) as care,
        root_channel(care.address, process="p1") as channel,
    ):
        request = user_service_pb2.CreateUserRequest(
            user=User(email="a@example.com", display_name="A", roles=[ROLE_PATIENT])
        )
        call = UserServiceStub(channel).CreateUser(request, timeout=10)
        await asyncio.sleep(0.5)
        async with running(topology, "p0", database_url, tmp_path):
            user = await call

    assert user.email == "a@example.com"


@pytest.mark.alone
async def test_a_process_that_comes_back_is_reached_without_a_restart(
    topology: Topology, database_url: URL, tmp_path: Path
):
    async with (
        running(topology, "p1", database_url, tmp_path) as care,
        root_channel(care.address, process="p1") as channel,
    ):
        sessions = TherapySessionServiceStub(channel)
        async with running(topology, "p0", database_url, tmp_path):
            therapist, patient = await people(channel)
            await sessions.ScheduleTherapySession(booking(therapist, patient), timeout=5)

        away = await failure_of(sessions.ScheduleTherapySession(booking(therapist, patient, hours=26), timeout=1))

        async with running(topology, "p0", database_url, tmp_path):
            begin = time.monotonic()
            await sessions.ScheduleTherapySession(booking(therapist, patient, hours=28), timeout=5)
            took = time.monotonic() - begin

    assert away.code is grpc.StatusCode.UNAVAILABLE
    assert took <= 2


async def test_a_proxy_of_the_machine_is_not_for_calls_between_processes(
    topology: Topology, database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with (
        running(topology, "p0", database_url, tmp_path),
        running(topology, "p1", database_url, tmp_path) as care,
        root_channel(care.address, process="p1", options=[("grpc.enable_http_proxy", 0)]) as channel,
    ):
        therapist, patient = await people(channel)
        session = await TherapySessionServiceStub(channel).ScheduleTherapySession(
            booking(therapist, patient), timeout=5
        )

    assert session.patient_id == patient


# Who may call


@pytest.mark.parametrize("place", ["where it is hosted", "where it is passed on"])
async def test_a_module_cannot_call_what_it_does_not_declare_by_any_way(
    topology: Topology, database_url: URL, tmp_path: Path, place: str
):
    """As one that found the secret key's use: users declares no dependency on mental health."""
    process = "p1" if place == "where it is hosted" else "p0"
    method = "/aura.mentalhealth.v1.DisorderService/GetDisorder"
    token = InternalIdentities(KEYS).seal(Identity(user="local", module="users"), method=method, process=process)
    async with (
        running(topology, "p0", database_url, tmp_path),
        running(topology, "p1", database_url, tmp_path),
        root_channel(topology.process(process).address, process=process) as channel,
    ):
        stub = disorder_service_pb2_grpc.DisorderServiceStub(channel)

        failure = await failure_of(stub.GetDisorder(DISORDER, metadata=((IDENTITY_METADATA, token),)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "UNDECLARED_DEPENDENCY")
    assert failure.error.metadata == {"module": "users", "dependency": "mentalhealth"}


# What is seen from outside


async def test_every_process_answers_for_all_modules(topology: Topology, database_url: URL, tmp_path: Path):
    async with (
        running(topology, "p0", database_url, tmp_path) as core,
        running(topology, "p1", database_url, tmp_path) as care,
    ):
        for process, address in (("p0", core.address), ("p1", care.address)):
            async with root_channel(address, process=process) as channel:
                listed = await ModuleServiceStub(channel).ListModules(modules.ListModulesRequest())
                hosted = {each.module_id: (each.process, each.address, each.health) for each in listed.modules}
                assert hosted == {
                    "users": ("p0", core.address, modules.MODULE_HEALTH_SERVING),
                    "mentalhealth": ("p1", care.address, modules.MODULE_HEALTH_SERVING),
                }
                shown = await ModuleServiceStub(channel).GetTopology(modules.GetTopologyRequest())
                assert {each.name: list(each.modules) for each in shown.processes} == {
                    "p0": ["users"],
                    "p1": ["mentalhealth"],
                }
                health = health_pb2_grpc.HealthStub(channel)
                for service in ("aura.users.v1.UserService", "aura.mentalhealth.v1.DisorderService"):
                    status = await health.Check(health_pb2.HealthCheckRequest(service=service))
                    assert status.status == health_pb2.HealthCheckResponse.SERVING
                assert {"aura.users.v1.UserService", "aura.mentalhealth.v1.DisorderService"} <= await described(channel)


async def test_the_health_of_a_module_elsewhere_is_that_of_its_process(
    topology: Topology, database_url: URL, tmp_path: Path
):
    async with (
        running(topology, "p1", database_url, tmp_path) as care,
        root_channel(care.address, process="p1") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)

        users = await health.Check(health_pb2.HealthCheckRequest(service="aura.users.v1.UserService"))
        own = await health.Check(health_pb2.HealthCheckRequest())
        listed = await ModuleServiceStub(channel).ListModules(modules.ListModulesRequest())

    assert users.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert own.status == health_pb2.HealthCheckResponse.SERVING
    assert {each.module_id: each.health for each in listed.modules} == {
        "users": modules.MODULE_HEALTH_NOT_SERVING,
        "mentalhealth": modules.MODULE_HEALTH_SERVING,
    }


async def described(channel: grpc.aio.Channel) -> set[str]:
    async def request() -> AsyncIterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async for answer in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(request()):
        return {service.name for service in answer.list_services_response.service}
    return set()


async def test_a_call_is_passed_on_once_only(database_url: URL, tmp_path: Path):
    """Two processes with different ideas of where a module is do not play ping-pong."""
    first = topology_of((("users",), ("mentalhealth",)))
    core, care = first.processes.values()
    swapped = {
        "p0": Process(name="p0", modules=("mentalhealth",), host=core.host, port=core.port),
        "p1": Process(name="p1", modules=("users",), host=care.host, port=care.port),
    }
    async with (
        running(first, "p0", database_url, tmp_path) as one,
        running(Topology(processes=swapped), "p1", database_url, tmp_path),
        root_channel(one.address, process="p0") as channel,
    ):
        failure = await failure_of(
            disorder_service_pb2_grpc.DisorderServiceStub(channel).GetDisorder(DISORDER, timeout=5)
        )

    assert failure.code is grpc.StatusCode.UNAVAILABLE
    assert failure.reason == "TOPOLOGY_MISMATCH"
    assert failure.error.metadata == {"module": "mentalhealth", "process": "p1"}


@pytest.mark.alone
async def test_a_check_of_health_is_passed_on_once_only(database_url: URL, tmp_path: Path):
    first = topology_of((("users",), ("mentalhealth",)))
    core, care = first.processes.values()
    swapped = Topology(
        processes={
            "p0": Process(name="p0", modules=("mentalhealth",), host=core.host, port=core.port),
            "p1": Process(name="p1", modules=("users",), host=care.host, port=care.port),
        }
    )
    async with (
        running(first, "p0", database_url, tmp_path) as one,
        running(swapped, "p1", database_url, tmp_path),
        root_channel(one.address, process="p0") as channel,
    ):
        request = health_pb2.HealthCheckRequest(service="aura.mentalhealth.v1.DisorderService")

        begin = time.monotonic()
        status = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)

    assert time.monotonic() - begin < 0.9  # one that goes round ends with a second's time-out
    assert status.status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_watching_the_health_of_a_module_elsewhere_tells_of_its_changes(
    topology: Topology, database_url: URL, tmp_path: Path
):
    request = health_pb2.HealthCheckRequest(service="aura.users.v1.UserService")
    async with (
        running(topology, "p1", database_url, tmp_path) as care,
        root_channel(care.address, process="p1") as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=20)
        before = (await watch.read()).status
        async with running(topology, "p0", database_url, tmp_path):
            during = (await watch.read()).status
        after = (await watch.read()).status
        watch.cancel()

    serving, away = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert (before, during, after) == (away, serving, away)


# Encryption


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual tls"])
async def test_calls_between_processes_can_be_encrypted(
    topology: Topology,
    database_url: URL,
    tmp_path: Path,
    mutual: bool,  # noqa: FBT001
):
    certificates(tmp_path, ("p0", "p1", "client"))
    certificates(tmp_path, ("mallory",), authority="other")
    tls = TlsFiles(
        authority=tmp_path / "ca.pem",
        certificate=tmp_path / "{process}.pem",
        key=tmp_path / "{process}.key",
        mutual=mutual,
    )
    encrypted = Topology(processes=topology.processes, tls=tls)

    async with (
        running(encrypted, "p0", database_url, tmp_path),
        running(encrypted, "p1", database_url, tmp_path) as care,
    ):
        async with grpc.aio.secure_channel(care.address, credentials(tmp_path, "client" if mutual else None)) as secure:
            channel = as_root(secure, process="p1")
            therapist, patient = await people(channel)
            session = await TherapySessionServiceStub(channel).ScheduleTherapySession(booking(therapist, patient))
            assert session.therapist_id == therapist
        async with root_channel(care.address, process="p1") as channel:
            plain = await failure_of_anything(channel)
        async with grpc.aio.secure_channel(
            care.address, credentials(tmp_path, "mallory" if mutual else None)
        ) as secure:
            stranger = await failure_of_anything(as_root(secure, process="p1"))

    assert plain is grpc.StatusCode.UNAVAILABLE
    assert stranger is (grpc.StatusCode.UNAVAILABLE if mutual else grpc.StatusCode.OK)


async def test_new_certificates_need_no_restart(topology: Topology, database_url: URL, tmp_path: Path):
    certificates(tmp_path, ("p0", "p1"))
    tls = TlsFiles(
        authority=tmp_path / "ca.pem",
        certificate=tmp_path / "{process}.pem",
        key=tmp_path / "{process}.key",
        mutual=True,
    )
    encrypted = Topology(processes=topology.processes, tls=tls)
    async with running(encrypted, "p1", database_url, tmp_path) as care:
        async with (
            running(encrypted, "p0", database_url, tmp_path),
            grpc.aio.secure_channel(care.address, credentials(tmp_path, "p0")) as secure,
        ):
            channel = as_root(secure, process="p1")
            therapist, patient = await people(channel)
            sessions = TherapySessionServiceStub(channel)
            await sessions.ScheduleTherapySession(booking(therapist, patient), timeout=5)

        certificates(tmp_path, ("p0", "p1"))

        async with (
            running(encrypted, "p0", database_url, tmp_path),
            grpc.aio.secure_channel(care.address, credentials(tmp_path, "p0")) as secure,
        ):
            sessions = TherapySessionServiceStub(as_root(secure, process="p1"))
            await sessions.ScheduleTherapySession(booking(therapist, patient, hours=26), timeout=5)


async def test_a_key_that_is_not_the_certificates_is_named(topology: Topology, database_url: URL, tmp_path: Path):
    certificates(tmp_path, ("p0", "p1"))
    (tmp_path / "p0.key").write_bytes((tmp_path / "p1.key").read_bytes())
    files = {
        "authority": tmp_path / "ca.pem",
        "certificate": tmp_path / "{process}.pem",
        "key": tmp_path / "{process}.key",
    }
    encrypted = Topology(processes=topology.processes, tls=TlsFiles(**files, mutual=True))

    with pytest.raises(TlsError, match=r"p0\.key is not the key of .*p0\.pem"):
        async with running(encrypted, "p0", database_url, tmp_path):
            pass


async def test_processes_with_other_keys_do_not_blame_the_caller(
    topology: Topology, database_url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(topology, "p1", database_url, tmp_path) as care:
        care.registry._identities._key = bytes(32)
        async with running(topology, "p0", database_url, tmp_path), grpc.aio.insecure_channel(care.address) as outside:
            channel = CallerChannel(outside, vouched(ROOT, "p1", care.registry._identities))
            request = user_service_pb2.GetUserRequest(user_id="0190a000-0000-7000-8000-000000000001")

            failure = await failure_of(UserServiceStub(channel).GetUser(request, timeout=5))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")


async def failure_of_anything(channel: grpc.aio.Channel) -> grpc.StatusCode:
    call = disorder_service_pb2_grpc.DisorderServiceStub(channel).GetDisorder(DISORDER, timeout=5)
    return await call.code()
