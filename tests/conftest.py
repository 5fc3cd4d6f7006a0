"""Fixtures that all tests share."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import URL

from aura.kernel.database import Database
from tests.support.cluster import KEYS, Cluster
from tests.support.figures import KINDS, OUTCOMES
from tests.support.platform import Platform, running_platform
from tests.support.turns import turn

BROWSER_TESTS = Path(__file__).parent / "browser"
RECORDED = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="run repeated trials at full size, and all partitions")
    parser.addoption("--browser", action="store_true", help="run the tests that need a browser, too")
    parser.addoption("--figures", choices=sorted(KINDS), help="end with a line of JSON that says what was proved")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out the tests that need a browser, which are run by `make test-browser`."""
    return True if collection_path == BROWSER_TESTS and not config.getoption("--browser") else None


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--figures") and config.getoption("numprocesses", default=None):
        raise pytest.UsageError("--figures tells what one process measured: leave out -n")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Lets a test that is marked `alone` wait for its turn, outside of its time limit."""
    with turn(alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def record_figure(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Notes a figure for the line of JSON that ends a run with `--figures`."""
    return request.config.stash.setdefault(RECORDED, {}).__setitem__


@pytest.fixture(scope="session")
def trials(request: pytest.FixtureRequest) -> int:
    """By how much to multiply the number of repeated trials."""
    return 10 if request.config.getoption("--prove") else 1


def pytest_unconfigure(config: pytest.Config) -> None:
    """Prints what was proved, last of all."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    kind = config.getoption("--figures")
    if kind and reporter:
        outcomes = {name: reporter.stats.get(name, []) for name in OUTCOMES}
        sys.stdout.write(f"{json.dumps(KINDS[kind](outcomes, config.stash.get(RECORDED, {})))}\n")


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_platform(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """A platform for all tests of a module, which must run in the module's loop and leave it as it is."""
    async with (
        cluster.clone() as name,
        running_platform(cluster.url(name), tmp_path_factory.mktemp("platform")) as platform,
    ):
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
