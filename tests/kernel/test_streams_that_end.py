"""A stream that ends for two reasons at once: the caller is told of one, and nobody is troubled with the other."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest

from aura.kernel.errors import Unauthenticated
from aura.kernel.interceptors.chain import _or_end, _until


@pytest.fixture
async def troubles() -> list[Any]:
    """What asyncio would log."""
    seen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    return seen


async def stubborn() -> AsyncIterator[int]:
    yield 1
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise ValueError("it fails when it is cancelled") from None


async def is_told_so(call: Awaitable[Any]) -> bool:
    """Whether a call fails as it should; nothing of the failure is kept, so that all that is left over is found."""
    try:
        await call
    except Unauthenticated:
        return True
    return False


async def test_the_error_of_a_stream_that_is_ended_is_not_left_over(troubles: list[Any]):
    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    responses = _until(end, stubborn())
    await anext(responses)
    asyncio.get_running_loop().call_later(0.01, end.set_exception, Unauthenticated("it is over"))

    assert await is_told_so(anext(responses))
    del end, responses
    gc.collect()
    assert troubles == []


async def test_nor_is_that_of_a_handler_that_writes_by_hand(troubles: list[Any]):
    async def handle() -> None:
        async for _ in stubborn():
            pass

    end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, end.set_exception, Unauthenticated("it is over"))

    assert await is_told_so(_or_end(end, handle()))

    del end
    gc.collect()
    assert troubles == []
