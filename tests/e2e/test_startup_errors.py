"""What an operator reads when the server cannot start: one line that names the fix, no traceback, no secret."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from aura.kernel.listening import AddressInUse
from tests.e2e.conftest import NewServer
from tests.support.certificates import certificates
from tests.support.cluster import KEYS, Cluster
from tests.support.server_process import Finished, ServerProcess, write_secret_key

PASSWORD = "hunter2"
REFUSING = f"postgresql://ada:{PASSWORD}@127.0.0.1:1/aura"
PRODUCTION = {"environment": "production", "smtp_url": "smtp+plain://127.0.0.1:1"}
IS_ROOT = os.geteuid() == 0
A_FEW_SECONDS = 20.0  # with several starting at once
SECRET = "a secret of the tests, that is long enough"


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the cases need of the world: a folder, a migrated and an empty database, and a port that is taken."""

    folder: Path
    migrated: str
    empty: str
    taken_port: int

    @property
    def key(self) -> Path:
        return write_secret_key(self.folder / "key")

    @property
    def database(self) -> dict[str, object]:
        return {"database_url": self.migrated, "secret_key_file": self.key}

    @property
    def certificate(self) -> dict[str, object]:
        certificates(self.folder, ("a", "b"))
        return {"tls_certificate_file": self.folder / "a.pem", "tls_private_key_file": self.folder / "a.key"}

    def other_key(self, name: str, secret: bytes, mode: int) -> Path:
        path = write_secret_key(self.folder / name, secret)
        path.chmod(mode)
        return path


# Each case: the settings that are wrong, and what the one line must say.
CASES: dict[str, tuple[Callable[[Place], dict[str, Any]], list[str]]] = {
    "port": (lambda _: {"port": "http"}, ["AURA_PORT: Input should be a valid integer"]),
    "unknown setting": (lambda _: {"prot": 1}, ["AURA_PROT is not a setting; did you mean AURA_PORT?"]),
    "host": (
        lambda _: {"host": "0.0.0.0"},
        ["AURA_HOST=0.0.0.0 is no loopback address", "AURA_TLS_CERTIFICATE_FILE", "AURA_ALLOW_PLAINTEXT=true"],
    ),
    "address of another machine": (  # seen before there is any work
        lambda _: {"host": "192.0.2.1", "allow_plaintext": "true", "database_url": REFUSING},
        ["this machine has no address 192.0.2.1; give AURA_HOST one that it has"],
    ),
    "missing certificate": (
        lambda _: {"tls_certificate_file": "/no/cert.pem", "tls_private_key_file": "/no/key", "database_url": REFUSING},
        ["AURA_TLS_CERTIFICATE_FILE: there is no file /no/cert.pem; put it there"],
    ),
    "another certificate's key": (
        lambda place: place.certificate | {"database_url": REFUSING, "tls_private_key_file": place.folder / "b.key"},
        ["AURA_TLS_PRIVATE_KEY_FILE", "b.key is not the key of", "a.pem"],
    ),
    "malformed url": (
        lambda _: {"database_url": f"postgresql://ada:{PASSWORD}@h:port/aura"},
        ["AURA_DATABASE_URL: must have the form"],
    ),
    "bad value in url": (
        lambda _: {"database_url": f"{REFUSING}?sslmode=bogus"},
        ["`sslmode` parameter must be one of", "AURA_DATABASE_URL"],
    ),
    "unknown option in url": (
        lambda _: {"database_url": f"{REFUSING}?bogus=1"},
        ["AURA_DATABASE_URL", "bogus", "leave them out"],
    ),
    "production without database": (
        lambda _: PRODUCTION | {"secret_key_file": "/nowhere"},
        ["AURA_DATABASE_URL is required in production"],
    ),
    "production without key": (
        lambda _: PRODUCTION | {"database_url": REFUSING},
        ["AURA_SECRET_KEY_FILE is required in production"],
    ),
    "production with missing key": (
        lambda place: PRODUCTION | place.database | {"secret_key_file": "/no/such/file"},
        ["/no/such/file", "head -c 32 /dev/urandom | base64"],
    ),
    "production with schema behind": (
        lambda place: PRODUCTION | place.database | {"database_url": place.empty},
        ["users, mentalhealth", "aura migrate"],
    ),
    "refused": (
        lambda _: {"database_url": REFUSING},
        ["127.0.0.1:1/aura", "see that it runs, and that AURA_DATABASE_URL is right"],
    ),
    "refused with password in options": (
        lambda _: {"database_url": f"postgresql://ada@127.0.0.1:1/aura?password={PASSWORD}"},
        ["127.0.0.1:1/aura", "see that it runs, and that AURA_DATABASE_URL is right"],
    ),
    "no such database": (
        lambda place: place.database | {"database_url": place.migrated.replace("/test_", "/no_such_")},
        ["no_such_", "does not exist", "AURA_DATABASE_URL"],
    ),
    "wrong password": (
        lambda place: (
            place.database | {"database_url": re.sub(r"//postgres:[^@]+@", f"//postgres:{PASSWORD}@", place.empty)}
        ),
        ['password authentication failed for user "postgres"', "AURA_DATABASE_URL"],
    ),
    "taken port": (lambda place: place.database | {"port": place.taken_port}, ["is taken", "AURA_PORT="]),
    "taken HTTP port": (  # seen before there is any work: the database that is named does not exist
        lambda place: {"database_url": "postgresql://127.0.0.1:1/aura", "http_port": place.taken_port},
        ["is taken", "AURA_HTTP_PORT="],
    ),
    "short key": (
        lambda place: {"secret_key_file": place.other_key("short_key", b"short", 0o600)},
        ["short_key is shorter than 32 bytes; put a longer one there"],
    ),
    "open key": (
        lambda place: {"secret_key_file": place.other_key("open_key", SECRET.encode(), 0o640)},
        ["run: chmod 600 ", "open_key"],
    ),
    "data directory that cannot be made": (
        lambda place: {"data_dir": "/proc/aura" if IS_ROOT else closed(place.folder / "closed")},
        ["/proc/aura" if IS_ROOT else "closed"],
    ),
}


def closed(folder: Path) -> Path:
    folder.mkdir(mode=0o500)
    return folder


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(scope="module")
def empty_url(cluster: Cluster) -> Iterator[str]:
    """The URL of a database that was never migrated."""
    run_sql(cluster, "CREATE DATABASE never_migrated")
    yield cluster.plain_url("never_migrated")
    run_sql(cluster, "DROP DATABASE never_migrated WITH (FORCE)")


def run_sql(cluster: Cluster, statement: str) -> None:
    asyncio.run(cluster.execute(statement))


@pytest.fixture(scope="module")
def outcomes(
    module_url: str, empty_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Finished]]]:
    """Runs all cases, a few at a time: a process is busy with its imports for most of its short life."""
    folder = tmp_path_factory.mktemp("cases")
    with ExitStack() as stack:
        port = stack.enter_context(taken_port())
        place = Place(folder=folder, migrated=module_url, empty=empty_url, taken_port=port)
        pool = stack.enter_context(ThreadPoolExecutor(max_workers=3))

        def outcome(number: int, settings: Callable[[Place], dict[str, Any]]) -> Finished:
            with ServerProcess(folder / str(number), **settings(place)) as server:
                return server.launch().finish(A_FEW_SECONDS)

        yield {
            name: pool.submit(outcome, number, settings) for number, (name, (settings, _)) in enumerate(CASES.items())
        }


def the_complaint(finished: Finished) -> str:
    assert finished.code == 1, finished.output
    assert "Traceback" not in finished.output, finished.output
    assert PASSWORD not in finished.output
    assert SECRET not in finished.output
    assert KEYS.password("embedded-postgres") not in finished.output, "the cluster's password"
    assert len(finished.complaints) == 1, finished.output
    assert finished.output.splitlines()[-1] == f"aura: {finished.complaints[0]}"
    return finished.complaints[0]


@pytest.mark.parametrize("case", CASES)
def test_says_in_one_line_why_it_cannot_start_and_what_to_do(outcomes: dict[str, Future[Finished]], case: str):
    told = the_complaint(outcomes[case].result())

    assert [part for part in CASES[case][1] if part not in told] == [], told


def test_names_every_setting_that_is_wrong(new_server: NewServer):
    finished = new_server(port=70_000, host="", prot=1).launch().finish(A_FEW_SECONDS)

    assert [re.split("[: ]", line)[0] for line in finished.complaints] == ["AURA_PROT", "AURA_HOST", "AURA_PORT"]
    assert "Traceback" not in finished.output


def test_proposes_no_port_that_does_not_exist():
    assert "AURA_PORT=50052" in str(AddressInUse(host="127.0.0.1", port=50051))
    assert "65536" not in str(AddressInUse(host="127.0.0.1", port=65535))


def test_another_server_can_have_neither_the_port_nor_the_data_directory_of_the_first(
    new_server: NewServer, new_server_on_clone: NewServer
):
    first = new_server().start()
    port = first.address.rpartition(":")[2]

    same_port = new_server_on_clone(port=port)
    same_directory = new_server(data_dir=first.data_dir)
    same_port.launch()
    same_directory.launch()

    directory_told = the_complaint(same_directory.finish(A_FEW_SECONDS))
    assert f"in use by process {first.pid}" in directory_told
    assert "AURA_DATA_DIR" in directory_told
    assert f"127.0.0.1:{port} is taken" in the_complaint(same_port.finish(A_FEW_SECONDS))
    assert first.is_running()
    assert first.stop() == 0


def test_production_starts_after_aura_migrate_and_shows_no_secret(
    new_server: NewServer, cluster: Cluster, tmp_path: Path
):
    run_sql(cluster, "CREATE DATABASE to_migrate")
    url, key = cluster.plain_url("to_migrate"), write_secret_key(tmp_path / "key")
    settings = PRODUCTION | {"database_url": url, "secret_key_file": key, "log_level": "debug"}

    migrated = new_server(arguments=("-m", "aura", "migrate"), **settings).launch().finish()
    server = new_server(**settings).start()

    assert server.stop() == 0
    run_sql(cluster, "DROP DATABASE to_migrate WITH (FORCE)")
    assert migrated.code == 0, migrated.output
    for shown in (migrated.output, server.logs()):
        assert "Traceback" not in shown
        assert make_url(url).password not in shown
        assert KEYS._secret.decode() not in shown


@pytest.mark.skipif(not IS_ROOT, reason="only root can start a server as nobody")
def test_explains_a_data_directory_of_another_user(new_server: NewServer):
    if not nobody_can_run_python():
        pytest.skip("nobody cannot execute this Python")
    server = new_server(user="nobody")

    told = the_complaint(server.launch().finish(A_FEW_SECONDS))

    assert str(server.data_dir) in told


def nobody_can_run_python() -> bool:
    try:
        done = subprocess.run([sys.executable, "-c", ""], user="nobody", extra_groups=[], check=False)
    except PermissionError:
        return False
    return done.returncode == 0
