"""Benchmarks still run against today's Aura: each in its smallest form, whose figures mean nothing.

What needs other frameworks or load generators, which only `make bench` has, is not run: the peers but the echo, and the
rounds under load.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import abuse, access, events, load, pages, population, search, start, subjects
from benchmarks.abuses import ABUSES
from benchmarks.callers import Admin
from benchmarks.database import running_database
from benchmarks.event_modules.code import migrations_in, use_code, write_code
from benchmarks.event_modules.specs import EVENT_MODULES
from benchmarks.population import Size
from benchmarks.servers import ROOT, Server, running

SIZE = Size(users=6_000, sessions=35_000, deep_page=3, page_size=10)
SCRIPTS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server on a database that is filled, and who may call it."""

    server: Server
    admin: Admin


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    async with running_database(folder) as database:
        await population.fill(database.url, SIZE)
        environment = subjects.aura_environment(database)
        with running("aura", ("server.py",), folder, environment=environment, on_one_core=False) as server:
            yield Served(server=server, admin=Admin(server, environment))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(serving(tmp_path_factory.mktemp("benchmarks"))))
        runner.run(stack.aclose())


def figures_of(script: str, *arguments: str) -> dict[str, Any]:
    """Runs a script as `make` does; returns what its last line says."""
    command = [sys.executable, "-m", f"benchmarks.{script}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_can_be_imported(script: str):
    importlib.import_module(f"benchmarks.{script}")


def test_every_script_that_make_runs_exists():
    named = set(re.findall(r"-m benchmarks\.(\w+)", (ROOT / "Makefile").read_text()))

    assert named
    assert named <= set(SCRIPTS)


def test_calls_in_process():
    figures = figures_of("inprocess", "--rounds=1", "--calls=10", "--messages=10")

    assert figures["unary_overhead_us"] > 0


def test_the_time_of_logins():
    figures = figures_of("logins", "--samples=3", "--accounts=2")

    assert figures["samples_of_each"] == 3


def test_authentication_and_access():
    measured = access.measure(calls=5, rounds=1, cold_calls=5)

    assert measured.cold_us > 0


def test_starting(tmp_path: Path):
    assert start.measure(tmp_path, starts=1) > 0


def test_pages(served: Served):
    growth = pages.measure(served.server.address, served.admin, SIZE, calls=1)

    assert growth.keys() == pages.lists().keys()


def test_searches(served: Served):
    assert search.measure(served.server.address, served.admin, texts=["depression"]).count == 5 * len("depression")


def test_booking(served: Served):
    measured = load.bookings(served.server.address, served.admin.token, first=0, requests=20, users=SIZE.users)

    assert measured.requests == 20


def test_aura_answers_what_it_is_asked_under_load(served: Served):
    subjects.gets_user_by_grpc(served.server, served.admin)
    subjects._lists_sessions(served.server, served.admin)


def test_the_echo_answers_what_it_is_asked_under_load(tmp_path: Path):
    with running("echo", ("-m", "benchmarks.peers.echo", "{port}"), tmp_path, environment={}) as echo:
        subjects.gets_user_by_grpc(echo)


@pytest.mark.parametrize("name", ABUSES)
def test_an_abuse_goes_on_beside_calls(served: Served, name: str):
    with abuse._abused(served.server.address, name):
        noticed = abuse.call_again_and_again(served.server.address, 1.0)

    assert noticed.calls > noticed.failures


async def test_events(tmp_path: Path):
    write_code(tmp_path)
    use_code(tmp_path)
    options = {"migrations": migrations_in(tmp_path), "settings": {"track_commit_timestamp": "on"}}
    async with running_database(tmp_path, specs=EVENT_MODULES, **options) as database:
        await events._execute(database.url_of("postgres"), f"CREATE DATABASE finished TEMPLATE {events.NAME}")
        await events._fill_finished(database.url_of("finished"), 20)
        await events._fill_waiting(database.url, 20)
        async with events._aura(events.TWO, database, events.NAME, tmp_path, processes=2) as contender:
            done = await contender.run(20, database)

    assert len(done.latencies_ms) == done.events == 20
