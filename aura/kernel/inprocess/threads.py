"""Streams for servicers that are plain functions: they run in threads, their calls in the event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator
    from concurrent.futures import Executor

    from aura.kernel.inprocess.context import ServicerContext

_END = object()


def blocking_requests(context: ServicerContext, loop: asyncio.AbstractEventLoop) -> Iterator[Any]:
    """Iterate over a stream's requests from a thread."""
    while (request := asyncio.run_coroutine_threadsafe(context.read(), loop).result()) is not grpc.aio.EOF:
        yield request


async def responses_of(
    responses: Iterable[Any], loop: asyncio.AbstractEventLoop, thread_pool: Executor | None
) -> AsyncGenerator[Any, None]:
    """Iterate over what a plain function yields, one step in a thread at a time."""
    steps = _Steps(responses)
    try:
        while (response := await loop.run_in_executor(thread_pool, steps.next)) is not _END:
            yield response
    finally:
        await asyncio.shield(loop.run_in_executor(thread_pool, steps.close))


class _Steps:
    """A plain iterator that is closed only between two steps: a thread in the midst of one cannot be stopped."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def next(self) -> Any:
        with self._lock:
            return next(self._items, _END)

    def close(self) -> None:
        close = getattr(self._items, "close", None)
        if close is not None:
            with self._lock:
                close()
