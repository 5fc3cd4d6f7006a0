"""Fixtures that all tests share."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import URL

from aura.kernel.database import Database
from tests.support.cluster import KEYS, Cluster
from tests.support.platform import Platform, running_platform


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="run repeated trials at full size; end with a line of JSON")


@pytest.fixture(scope="session")
def trials(request: pytest.FixtureRequest) -> int:
    """By how much to multiply the number of repeated trials."""
    return 10 if request.config.getoption("--prove") else 1


def pytest_unconfigure(config: pytest.Config) -> None:
    """Prints what was proved, last of all."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if config.getoption("--prove") and reporter:
        counts = {outcome: len(reporter.stats.get(outcome, ())) for outcome in ("passed", "failed", "error", "skipped")}
        sys.stdout.write(f"{json.dumps(counts)}\n")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster") / "postgres")
    cluster.start()
    asyncio.run(cluster.make_template())
    yield cluster
    cluster.stop()


@pytest.fixture
async def database_url(cluster: Cluster) -> AsyncIterator[URL]:
    async with cluster.clone() as name:
        yield cluster.url(name)


@pytest.fixture
async def platform(database_url: URL, tmp_path: object) -> AsyncIterator[Platform]:
    async with running_platform(database_url, tmp_path) as platform:
        yield platform


@pytest.fixture
async def users_database(database_url: URL) -> AsyncIterator[Database]:
    database = Database(url=database_url, module="users", keys=KEYS)
    yield database
    await database.close()


@pytest.fixture
async def mentalhealth_database(database_url: URL) -> AsyncIterator[Database]:
    database = Database(url=database_url, module="mentalhealth", keys=KEYS)
    yield database
    await database.close()
