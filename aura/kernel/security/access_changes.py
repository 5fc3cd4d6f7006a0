"""Tells every process that what somebody may do has changed, so that none goes on by what it knew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from sqlalchemy import func, select

from aura.kernel.database import Database, Execute

CHANNEL = "aura_access"
RECONNECT_SECONDS = 0.5
PING_SECONDS = 5.0
EVERYBODY = ""

log = structlog.get_logger()


class AccessChanges:
    """Announces changes: in this process as soon as they are committed, in the others by the database."""

    def __init__(self, forget: Callable[[str], None] = lambda _: None) -> None:
        self._forget = forget

    async def announce(self, execute: Execute, changed: Iterable[str]) -> None:
        """Tells the other processes, inside the transaction that makes the changes: they hear of it if that lasts.

        Args:
            execute: runs statements in the transaction.
            changed: ids of users, clients and login sessions.
        """
        for each in changed:
            await execute(select(func.pg_notify(CHANNEL, each)))

    def committed(self, changed: Iterable[str]) -> None:
        """Tells this process."""
        for each in changed:
            self._forget(each)


class AccessChangesListener:
    """Hears of changes that other processes make, on a database connection of its own.

    What was said while there was no connection is lost, so everything is forgotten whenever there is a new one.
    """

    def __init__(self, *, database: Database, forget: Callable[[str], None]) -> None:
        self._database = database
        self._forget = forget
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to listen."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends it and closes the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._database.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 whatever is wrong, the next second brings another try
                log.debug("changes of access are not heard of", cause=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        """Listens until the connection is lost."""
        async with self._database.read() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.add_listener(CHANNEL, lambda *said: self._forget(said[-1]))
            self._forget(EVERYBODY)
            while True:
                await asyncio.sleep(PING_SECONDS)
                await driver.execute("SELECT 1")
