"""A module as a process hosts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from dishka import Container

from aura.kernel.database import Database
from aura.kernel.events.bus import EventBus
from aura.kernel.events.inbox import NO_DELIVERY, Delivery
from aura.kernel.events.relay import Relay
from aura.kernel.housekeeping import Upkeep
from aura.kernel.interceptors.call import Call, platform_call
from aura.kernel.module import Task
from aura.kernel.registry import generated_servicer, owner_of_generated


@dataclass
class HostedModule:
    """A module in this process: its database, its container, and the servicers it registered."""

    database: Database
    container: Container
    bus: EventBus
    relay: Relay
    startup: type[Task] | None = None
    housekeeping: type[Task] | None = None
    servicers: list[type[object]] = field(default_factory=list)

    def register(self, servicer_class: type[object]) -> None:
        """Notes a servicer that the module hosts."""
        self.servicers.append(servicer_class)

    async def run(self, task: type[Task] | None) -> None:
        """Does something for the module, as the platform itself."""
        if task is not None:
            with self.container({Call: platform_call(), Delivery: NO_DELIVERY}) as scope:
                await scope.get(task).run()

    @property
    def upkeep(self) -> Upkeep:
        """What is to be done for it every ten minutes."""
        return Upkeep(database=self.database, more=partial(self.run, self.housekeeping))

    @property
    def services(self) -> list[str]:
        """The full names of the services it hosts."""
        return [owner_of_generated(generated_servicer(servicer), "Servicer").service for servicer in self.servicers]
