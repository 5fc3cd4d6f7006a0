from collections.abc import AsyncIterator

import pytest

from tests.kernel.inprocess.harness import KINDS, Harness


@pytest.fixture(params=["tcp", "unix", "in_process"])
async def harness(request) -> AsyncIterator[Harness]:
    harness = Harness(request.param)
    yield harness
    await harness.close()


@pytest.fixture
async def in_process() -> AsyncIterator[Harness]:
    """For what only the in-process channel promises."""
    harness = Harness("in_process")
    yield harness
    await harness.close()


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param
