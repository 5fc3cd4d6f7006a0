"""The probe modules' code and database, made once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
from sqlalchemy import URL

from aura.kernel.events.subscriptions import subscriptions_of
from aura.kernel.migrations import Migrator
from tests.partitions.partitions import name_of, some_of
from tests.partitions.probe.code import use_code, write_code
from tests.partitions.probe.specs import NAMES, PROBE_MODULES
from tests.support.cluster import KEYS, Cluster

PROBE_TEMPLATE = "probe_template"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives tests of real processes all partitions with --prove, and a few without."""
    if "process_partition" in metafunc.fixturenames:
        partitions = metafunc.module.ALL
        chosen = partitions if metafunc.config.getoption("--prove") else some_of(partitions)
        metafunc.parametrize("process_partition", chosen, ids=name_of)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    """Logs nothing: there would be a hundred thousand lines."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def probe_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    write_code(folder)
    use_code(folder)
    return folder


@pytest.fixture(scope="session")
def probe_template(cluster: Cluster, probe_code: Path) -> str:
    async def make() -> None:
        await cluster.execute(f"CREATE DATABASE {PROBE_TEMPLATE}")
        url = cluster.url(PROBE_TEMPLATE)
        migrator = Migrator(
            url=url,
            keys=KEYS,
            modules=NAMES,
            subscriptions=subscriptions_of(PROBE_MODULES),
            folder=probe_code / "migrations",
        )
        await migrator.upgrade()

    asyncio.run(make())
    return PROBE_TEMPLATE


@pytest.fixture
async def probe_url(cluster: Cluster, probe_template: str) -> AsyncIterator[URL]:
    async with cluster.clone(probe_template) as name:
        yield cluster.url(name)


@asynccontextmanager
async def cloned(cluster: Cluster, template: str) -> AsyncIterator[URL]:
    async with cluster.clone(template) as name:
        yield cluster.url(name)
