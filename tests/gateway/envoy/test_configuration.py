"""What `aura envoy-config` writes: certificates, and what it refuses to write."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from typer.testing import CliRunner, Result

from aura.kernel.cli import command_line
from aura.kernel.envoy.config import bootstrap
from aura.kernel.envoy.front import Front
from aura.kernel.settings import PREFIX, Settings
from aura.kernel.tls import ServerCertificates, TlsFiles
from aura.kernel.topology import SINGLE_PROCESS, Topology
from aura.modules import AURA_MODULES
from tests.gateway import library
from tests.gateway.library import LibraryServicer
from tests.support.certificates import certificates, files_of
from tests.support.envoy import running_envoy
from tests.support.http_exchange import HttpRequest, exchange
from tests.support.ports import free_port

REQUEST = HttpRequest(verb="GET", target="/v1/messages/m1")
Aura = Callable[..., Result]


@asynccontextmanager
async def encrypted_library(tls: TlsFiles) -> AsyncIterator[Topology]:
    """Serves the library with certificates; yields the topology."""
    server = grpc.aio.server()
    LibraryServicer().add_to(server)
    healthy = health.aio.HealthServicer()
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    files = tls.of(SINGLE_PROCESS)
    port = server.add_secure_port("127.0.0.1:0", ServerCertificates(files).credentials())
    await server.start()
    try:
        yield Topology.single(["library"], host="127.0.0.1", port=port, tls=tls)
    finally:
        await server.stop(0)


def config_of(topology: Topology, settings: Settings | None = None, **front: Any) -> dict[str, Any]:
    return bootstrap(
        settings or Settings(),
        services=[library.service()],
        homes={},
        topology=topology,
        front=Front(host="127.0.0.1", port=free_port(), **front),
    )


def by_topology(folder: Path, *, mutual: bool) -> TlsFiles:
    """The files of a topology, one pair for each process, with Envoy's beside them."""
    return TlsFiles(
        authority=folder / "ca.pem",
        certificate=folder / "{process}.pem",
        key=folder / "{process}.key",
        mutual=mutual,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    certificates(tmp_path, ("server", "client", SINGLE_PROCESS, "envoy"))
    return tmp_path


@pytest.mark.parametrize("mutual", [False, True], ids=["", "mutual"])
@pytest.mark.parametrize("kind", ["by settings", "by topology"])
async def test_calls_are_encrypted(folder: Path, kind: str, mutual: bool):  # noqa: FBT001 a parameter
    tls = by_topology(folder, mutual=mutual) if kind == "by topology" else files_of(folder, mutual=mutual)
    client = (folder / "client.pem", folder / "client.key") if kind == "by settings" else None

    async with encrypted_library(tls) as topology:
        with running_envoy(config_of(topology, client=client), folder) as port:
            answer = await exchange(port, REQUEST)

    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["messageId"] == "m1"


@pytest.mark.parametrize("kind", ["by settings", "by topology"])
async def test_another_server_is_not_called(folder: Path, kind: str):
    """One whose certificate another authority has signed."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    certificates(elsewhere, ("server", SINGLE_PROCESS, "envoy"))
    files = files_of if kind == "by settings" else by_topology

    async with encrypted_library(files(elsewhere, mutual=False)) as topology:
        trusting = replace(topology, tls=files(folder, mutual=False))
        with running_envoy(config_of(trusting), folder) as port:
            answer = await exchange(port, REQUEST)

    assert answer.status == 503


async def test_the_port_of_envoy_can_be_encrypted(folder: Path):
    context = ssl.create_default_context(cafile=folder / "ca.pem")

    async with encrypted_library(files_of(folder)) as topology:
        own = (folder / "envoy.pem", folder / "envoy.key")
        with running_envoy(config_of(topology, own=own), folder) as port:
            answer = await exchange(port, REQUEST, context)

    assert answer.status == 200


async def test_a_stream_may_be_silent(folder: Path):
    async with encrypted_library(files_of(folder)) as topology:
        config = config_of(topology, Settings(connection_idle_seconds=0.5))
        with running_envoy(config, folder) as port:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
                first = await watch.read()
                ended, _ = await asyncio.wait([asyncio.ensure_future(watch.read())], timeout=2)

    assert first.status == health_pb2.HealthCheckResponse.SERVING
    assert not ended


@pytest.fixture
def aura(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aura:
    """Runs `aura envoy-config` with settings."""

    def run(*arguments: str, settings: Mapping[str, str] | None = None) -> Result:
        for name, value in (settings or {}).items():
            monkeypatch.setenv(f"{PREFIX}{name}", value)
        return CliRunner().invoke(command_line(AURA_MODULES), ["envoy-config", *arguments])

    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return run


def test_a_file_is_written(aura: Aura, tmp_path: Path):
    written, shown = aura("--output", "envoy.json"), aura()

    assert written.exit_code == 0
    assert written.output == ""
    assert json.loads((tmp_path / "envoy.json").read_text()) == json.loads(shown.stdout)


@pytest.mark.parametrize(
    ("arguments", "settings", "complaint"),
    [
        (["--host", "0.0.0.0"], {}, "--host 0.0.0.0 is no loopback address"),
        (["--certificate", "a.pem"], {}, "--certificate and --key go together"),
        (["--certificate", "a.pem", "--key", "a.key"], {}, "--certificate: there is no file a.pem"),
        (["--client-key", "a.key"], {}, "--client-certificate and --client-key go together"),
        (["--output", "envoy.yaml"], {}, "--output envoy.yaml: Envoy reads JSON from files named ….json only"),
        (["--output", "nowhere/envoy.json"], {}, "--output: cannot write nowhere/envoy.json: No such file"),
        ([], {"PORT": "0"}, "AURA_PORT=0 takes a free port, which Envoy cannot know; name one"),
        (["--topology", "nowhere.toml"], {}, "cannot read the topology nowhere.toml"),
    ],
)
def test_what_cannot_be_is_refused(aura: Aura, arguments, settings, complaint):
    result = aura(*arguments, settings=settings)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"aura: {complaint}")
    assert result.stdout == ""


def test_a_certificate_that_aura_asks_for_must_be_there(aura: Aura, tmp_path: Path):
    certificates(tmp_path, ("server",))
    names = {"CERTIFICATE": "server.pem", "PRIVATE_KEY": "server.key", "CLIENT_AUTHORITY": "ca.pem"}

    result = aura(settings={f"TLS_{name}_FILE": str(tmp_path / file) for name, file in names.items()})

    assert result.exit_code == 1
    assert result.stderr == (
        "aura: Aura asks who calls it for a certificate: give --client-certificate and --client-key\n"
    )


def test_plain_text_is_allowed_where_the_settings_allow_it(aura: Aura):
    result = aura("--host", "0.0.0.0", settings={"ALLOW_PLAINTEXT": "true"})

    assert result.exit_code == 0
