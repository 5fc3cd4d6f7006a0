"""For tests of what events lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import asyncpg

from aura.kernel.database import sync_url

SECONDS = 20.0


async def until_handled(url: Any, modules: Iterable[str], *, seconds: float = SECONDS) -> None:
    """Waits until all that has been published so far, and all that this led to, has been handled.

    A handler's own events are stored before its event counts as handled, so nothing is missed in between. Dead letters
    and events that are scheduled for later are not waited for.
    """
    waiting = " UNION ALL ".join(
        f"SELECT 1 FROM {module}.outbox_queues WHERE due_time IS NOT NULL" for module in modules
    )
    connection = await asyncpg.connect(sync_url(url))
    try:
        async with asyncio.timeout(seconds):
            while await connection.fetchval(f"SELECT EXISTS ({waiting})"):  # noqa: ASYNC110 rows have no event
                await asyncio.sleep(0.01)
    finally:
        await connection.close()
