"""Removes what need not be kept any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from aura.kernel.database import Database
from aura.kernel.idempotency import forget_expired, idempotency_table

INTERVAL_SECONDS = 600.0

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Upkeep:
    """What is to be done for a module: in its database, and whatever the module itself wants."""

    database: Database
    more: Callable[[], Awaitable[None]]


class Housekeeping:
    """Forgets expired requests of all modules, every ten minutes. Nothing depends on it being on time.

    Args:
        modules: what is to be done for each module.
    """

    def __init__(self, modules: Mapping[str, Upkeep]) -> None:
        self._modules = modules
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins; the first round is after the first interval."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends; a round under way is rolled back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            for module in self._modules:
                await self.tidy(module)

    async def tidy(self, module: str) -> None:
        """Does one module's round; a failure is logged, for the next round makes up for it."""
        upkeep = self._modules[module]
        try:
            async with upkeep.database.read() as connection:
                await forget_expired(connection, idempotency_table(module))
            await upkeep.more()
        except Exception as error:  # noqa: BLE001 housekeeping must not end with the database's absence
            log.warning("housekeeping failed", module=module, cause=type(error).__name__)
