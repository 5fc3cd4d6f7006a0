"""Envoy, with the configuration that `aura envoy-config` writes, in front of real processes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import URL

from aura.kernel.rpc_status import from_rpc_error
from generated.aura.mentalhealth.v1.disorder_service_pb2 import GetDisorderRequest
from generated.aura.mentalhealth.v1.disorder_service_pb2_grpc import DisorderServiceStub
from tests.e2e.conftest import NewServer
from tests.partitions.partitions import topology_of, write_topology
from tests.support.envoy import running_envoy
from tests.support.http_exchange import HttpAnswer, HttpRequest, exchange
from tests.support.ports import free_port
from tests.support.server_process import ROOT, ServerProcess

TOGETHER, APART = (("users", "mentalhealth"),), (("users",), ("mentalhealth",))
PASSWORD = re.compile(r"password:\s+(\S+)")
LOGIN = "/api/auth/login"
ADMIN = "admin@example.com"

Config = dict[str, Any]
Aura = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True, kw_only=True)
class Fronted:
    """Envoy in front of a platform."""

    port: int
    servers: Sequence[ServerProcess]
    config: Config

    async def call(self, verb: str, target: str, body: Any = None, token: str = "") -> HttpAnswer:
        content = None if body is None else json.dumps(body).encode()
        headers = (("authorization", f"Bearer {token}"),) if token else ()
        return await exchange(self.port, HttpRequest(verb=verb, target=target, body=content, headers=headers))

    async def log_in(self) -> str:
        shown = [found[1] for server in self.servers if (found := PASSWORD.search(server.logs()))]
        answer = await self.call("POST", LOGIN, {"email": ADMIN, "password": shown[0]})
        assert answer.status == 200, answer
        return json.loads(answer.body)["accessToken"]


@pytest.fixture
def aura() -> Aura:
    """Runs the command with settings."""

    def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], **{name.upper(): str(value) for name, value in settings.items()}}
        command = [sys.executable, "-m", "aura", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


def config_of(done: subprocess.CompletedProcess[str]) -> Config:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def complaint_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout
    return done.stderr


@pytest.fixture(params=[TOGETHER, APART], ids=["one process", "two processes"])
def fronted(
    request: pytest.FixtureRequest, new_server_on_clone: NewServer, database_url: URL, tmp_path: Path, aura: Aura
) -> Iterator[Fronted]:
    file = write_topology(tmp_path / "topology.toml", topology_of(request.param))
    servers = [
        new_server_on_clone(
            arguments=("server.py", "--topology", str(file), "--process", f"p{number}"),
            port=None,
            password_memory_kib=8192,
        ).start()
        for number in range(len(request.param))
    ]
    config = config_of(aura("envoy-config", "--topology", str(file), "--port", str(free_port())))
    with running_envoy(config, tmp_path) as port:
        yield Fronted(port=port, servers=servers, config=config)


async def test_serves_rest(fronted: Fronted):
    token = await fronted.log_in()

    disorders = await fronted.call("GET", "/api/mental-health/disorders?page_size=3", token=token)
    user = await fronted.call(
        "POST", "/api/users", {"email": "t@example.com", "displayName": "T", "roles": ["ROLE_THERAPIST"]}, token
    )

    assert disorders.status == 200
    assert disorders.headers["content-type"] == "application/json"
    assert len(json.loads(disorders.body)["disorders"]) == 3
    assert json.loads(user.body)["displayName"] == "T"


async def test_answers_errors_as_services_do(fronted: Fronted):
    answer = await fronted.call("POST", LOGIN, {"email": ADMIN, "password": "a wrong one"})

    status = json.loads(answer.body)
    assert answer.status == 401
    assert status["code"] == code_pb2.UNAUTHENTICATED
    assert status["details"][0]["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert status["details"][0]["domain"] == "aura"


@pytest.mark.parametrize(
    ("verb", "target", "body", "status", "code"),
    [
        ("GET", "/api/nowhere", None, 404, code_pb2.NOT_FOUND),
        ("GET", "/aura.users.v1.UserService/GetUser", None, 404, code_pb2.NOT_FOUND),
        ("GET", "/api/mental-health/disorders?color=red", None, 400, code_pb2.INVALID_ARGUMENT),
        ("GET", "/api/mental-health/disorders", None, 401, code_pb2.UNAUTHENTICATED),
        ("POST", LOGIN, {"email": "x" * 5_000_000}, 413, code_pb2.RESOURCE_EXHAUSTED),
    ],
)
async def test_refuses_in_the_form_of_services(fronted: Fronted, verb, target, body, status, code):
    answer = await fronted.call(verb, target, body)

    assert answer.status == status
    assert json.loads(answer.body)["code"] == code
    assert answer.headers["content-type"] == "application/json"


async def test_lets_grpc_through(fronted: Fronted):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{fronted.port}") as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="aura.mentalhealth.v1.DisorderService")
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await DisorderServiceStub(channel).GetDisorder(GetDisorderRequest(code="F33"))

    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert from_rpc_error(refused.value).reason


async def test_says_that_a_service_is_gone_without_saying_where_it_was(fronted: Fronted):
    for server in fronted.servers:
        server.kill()

    rest = await fronted.call("POST", LOGIN, {"email": ADMIN, "password": "any"})
    async with grpc.aio.insecure_channel(f"127.0.0.1:{fronted.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await DisorderServiceStub(channel).GetDisorder(GetDisorderRequest(code="F33"))

    assert rest.status == 503
    assert json.loads(rest.body) == {
        "code": code_pb2.UNAVAILABLE,
        "message": "the service cannot be reached; try again",
        "details": [],
    }
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "{" not in refused.value.details()


def test_sends_calls_to_the_process_that_hosts_their_module(tmp_path: Path, aura: Aura):
    topology = topology_of(APART)
    file = write_topology(tmp_path / "topology.toml", topology)

    config = config_of(aura("envoy-config", "--topology", str(file)))

    routes = routes_of(config)
    assert routes["/aura.users.v1.UserService/"] == "p0"
    assert routes["/aura.mentalhealth.v1.DisorderService/"] == "p1"
    assert routes["/aura.audit.v1.AuditService/"] == "any"
    assert ports_of(config) == {
        "p0": [topology.processes["p0"].port],
        "p1": [topology.processes["p1"].port],
        "any": [process.port for process in topology.processes.values()],
    }


def routes_of(config: Config) -> dict[str, str]:
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    (host,) = manager["route_config"]["virtual_hosts"]
    return {
        route["match"]["prefix"]: route["route"]["cluster"]
        for route in host["routes"][:-1]
        if "prefix" in route["match"]
    }


def ports_of(config: Config) -> dict[str, list[int]]:
    return {
        cluster["name"]: [
            each["endpoint"]["address"]["socket_address"]["port_value"]
            for each in cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        ]
        for cluster in config["static_resources"]["clusters"]
    }
