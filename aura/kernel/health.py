"""Health, which lets a server go."""

from __future__ import annotations

import asyncio
from typing import Any

from grpc_health.v1.health import aio


class DrainingHealthServicer(aio.HealthServicer):  # type: ignore[misc] # the package has no types
    """Ends its watches when the server drains: they would hold up the stop for as long as a running call may."""

    def __init__(self) -> None:
        super().__init__()
        self._drained = asyncio.Event()

    async def end_watches(self) -> None:
        """Ends the streams of all watchers, once they have been told that nothing is served any more."""
        await asyncio.sleep(0.01)
        self._drained.set()

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 as in the contract
        """Sends the status of a service now and whenever it changes, until the server drains."""
        watch = asyncio.create_task(super().Watch(request, context))
        drained = asyncio.create_task(self._drained.wait())
        try:
            await asyncio.wait([watch, drained], return_when=asyncio.FIRST_COMPLETED)
        finally:
            drained.cancel()
            watch.cancel()
            await asyncio.wait([watch])
        if not watch.cancelled():
            watch.result()
