"""Watches whether the database answers, so that health says it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import text

from aura.kernel.database import Database, DatabaseLimits

INTERVAL_SECONDS = 1.0
ANSWER_SECONDS = 2.0
LIMITS = DatabaseLimits(pool_size=1, pool_overflow=0, pool_timeout=ANSWER_SECONDS, statement_timeout=ANSWER_SECONDS)

log = structlog.get_logger()

OnChange = Callable[[bool], Awaitable[None]]
Revive = Callable[[], None]


class DatabaseMonitor:
    """Asks the database for a sign of life every second, on a connection of its own, and tells when that changes.

    While it gives none, `revive` is called, in a thread; it may block.
    """

    def __init__(self, *, database: Database, on_change: OnChange, revive: Revive) -> None:
        self._database = database
        self._on_change = on_change
        self._revive = revive
        self._answering = True
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to watch; the database is taken to answer until it does not."""
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ends the watch and closes the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._database.close()

    async def _watch(self) -> None:
        while True:
            answering = await self._answers()
            if answering is not self._answering:
                self._answering = answering
                (log.info if answering else log.error)("database answers again" if answering else "database is away")
                await self._on_change(answering)
            if not answering:
                await self._try_to_revive()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def _try_to_revive(self) -> None:
        try:
            await asyncio.to_thread(self._revive)
        except Exception as error:  # noqa: BLE001 the next second brings another try
            log.warning("database could not be started again", cause=str(error))

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._database.read() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception:  # noqa: BLE001 whatever is wrong, it does not answer
            return False
        return True
