"""Servers for the end-to-end tests; whatever a test does, none of them outlives it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.support.cluster import Cluster
from tests.support.server_process import ServerProcess, write_secret_key

NewServer = Callable[..., ServerProcess]


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Makes server processes that are not started yet, each with a data directory of its own."""
    numbers = itertools.count(1)
    with ExitStack() as stack:

        def make(**options: object) -> ServerProcess:
            return stack.enter_context(ServerProcess(tmp_path / f"server_{next(numbers)}", **options))

        yield make


@pytest.fixture
def plain_url(cluster: Cluster, database_url: URL) -> str:
    """The URL of this test's database as an operator, or asyncpg, writes it."""
    return cluster.plain_url(database_url.database)


@pytest.fixture
def new_server_on_clone(new_server: NewServer, tmp_path: Path, plain_url: str) -> NewServer:
    """Makes server processes on this test's clone of the cluster's template."""
    key = write_secret_key(tmp_path / "secret.key")

    def make(**options: object) -> ServerProcess:
        return new_server(database_url=plain_url, secret_key_file=key, **options)

    return make


@pytest.fixture(scope="module")
def module_url(cluster: Cluster) -> Iterator[str]:
    """The URL of a clone that all tests of a module share."""
    with asyncio.Runner() as runner:
        clone = cluster.clone()
        yield cluster.plain_url(runner.run(clone.__aenter__()))
        runner.run(clone.__aexit__(None, None, None))
