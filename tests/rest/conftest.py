"""Platforms that serve REST, for all tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """Runs what is asynchronous where the tests are not."""
    with asyncio.Runner() as runner:
        yield runner
