"""Platforms that serve REST, for all tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.cluster import Cluster
from tests.support.rest_platform import RestPlatform, rest_platform

NewPlatform = Callable[..., RestPlatform]


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """Runs what is asynchronous where the tests are not."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def new_platform(
    runner: asyncio.Runner, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewPlatform]:
    """Runs platforms in one process, with settings, on databases of their own."""
    stack = AsyncExitStack()

    @asynccontextmanager
    async def running(**settings: object) -> AsyncIterator[RestPlatform]:
        folder = tmp_path_factory.mktemp("rest")
        async with (
            cluster.clone() as name,
            rest_platform("one process", url=cluster.url(name), folder=folder, **settings) as platform,
        ):
            yield platform

    yield lambda **settings: runner.run(stack.enter_async_context(running(**settings)))
    runner.run(stack.aclose())
