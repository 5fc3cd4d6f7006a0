"""Lends the driver's own connections to single reads, which take less time than a pool's lending and taking back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn


class LoanPool(AsyncAdaptedQueuePool):
    """A pool whose connections single reads hand on to one another, without the pool between.

    They keep one only while the pool could still lend another, so nobody waits for what is not used; and as soon as
    anybody asks for a connection, the pool gets all of those back.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._kept: list[tuple[PoolProxiedConnection, Any]] = []
        self._in_use = True

    async def fetch(self, sql: str, arguments: list[Any]) -> list[Any]:
        """Runs a query as a transaction of its own; returns the driver's records."""
        lent, driver = self._kept.pop() if self._kept else await self._lend()
        try:
            records: list[Any] = await driver.fetch(sql, *arguments)
        except Exception as error:
            await greenlet_spawn(_take_back, lent, error if driver.is_closed() else None)
            raise
        except BaseException as error:  # cut off: what state the connection is in is not known
            await greenlet_spawn(_take_back, lent, error)
            raise
        if self._in_use and self.checkedout() < self.size():
            self._kept.append((lent, driver))
        else:
            await greenlet_spawn(lent.close)
        return records

    def dispose(self) -> None:
        """Closes the connections that nobody uses; another pool takes the place of this one."""
        self._in_use = False
        self._take_back_kept()
        super().dispose()

    async def _lend(self) -> tuple[PoolProxiedConnection, Any]:
        lent = await greenlet_spawn(self.connect)
        return lent, lent.driver_connection

    def _do_get(self) -> ConnectionPoolEntry:
        self._take_back_kept()
        return super()._do_get()

    def _take_back_kept(self) -> None:
        while self._kept:
            self._kept.pop()[0].close()


def _take_back(lent: PoolProxiedConnection, error: BaseException | None) -> None:
    if error is not None:
        lent.invalidate(error)
    lent.close()
