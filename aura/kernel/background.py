"""What a process does besides serving: it delivers events, watches its database, hears of changed rights, tidies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aura.kernel.database import Database
from aura.kernel.database_monitor import DatabaseMonitor, Revive
from aura.kernel.hosted_module import HostedModule
from aura.kernel.housekeeping import Housekeeping
from aura.kernel.security.access_changes import AccessChangesListener
from aura.kernel.security.callers import Callers


class Background:
    """All of it, from the start of a process to its end. A process without modules has nothing to do.

    Args:
        modules: the modules here.
        new_database: makes a database of this process, for one of these purposes.
        on_database_change: is told whether the database answers, whenever that changes.
        revive_database: starts the database again if that is up to this process.
        callers: forget what they know of who may do what, when it changes.
    """

    def __init__(
        self,
        *,
        modules: Mapping[str, HostedModule],
        new_database: Callable[[], Database],
        on_database_change: Callable[[bool], Awaitable[None]],
        revive_database: Revive,
        callers: Callers | None,
    ) -> None:
        self._modules = modules
        self._housekeeping = Housekeeping({name: hosted.upkeep for name, hosted in modules.items()})
        self._watches: list[DatabaseMonitor | AccessChangesListener] = []
        if modules:
            monitor = DatabaseMonitor(database=new_database(), on_change=on_database_change, revive=revive_database)
            self._watches.append(monitor)
        if modules and callers is not None:
            self._watches.append(AccessChangesListener(database=new_database(), forget=callers.forget))

    async def start(self) -> None:
        """Begins; what the modules themselves do at the start is done then."""
        for watch in self._watches:
            watch.start()
        self._housekeeping.start()
        for module in self._modules.values():
            module.relay.start()
            await module.run(module.startup)

    async def stop(self) -> None:
        """Ends; what is under way is rolled back, and done at another time."""
        await asyncio.gather(*(module.relay.stop() for module in self._modules.values()))
        await self._housekeeping.stop()
        for watch in reversed(self._watches):
            await watch.stop()
