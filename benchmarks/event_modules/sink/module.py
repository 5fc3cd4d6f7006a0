"""Handles what was ordered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dishka import Provider, Scope
from generated.aura.source.v1.events_pb2 import OrderPlaced
from sqlalchemy import text

from aura.kernel.unit_of_work import UnitOfWork

HANDLE = text("INSERT INTO sink.effects (number, subject) VALUES (:number, :subject)")


class OrderPlacedSubscriber:
    """Writes a row for each order."""

    def __init__(self, *, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work

    async def handle(self, event: OrderPlaced) -> None:
        """Write it."""
        async with self._unit_of_work as work:
            await work.execute(HANDLE, {"number": event.number, "subject": event.subject})
            await work.commit()


class SinkModule:
    """What subscribes."""

    def providers(self) -> Sequence[Provider]:
        """Return what makes the subscriber."""
        provider = Provider(scope=Scope.REQUEST)
        provider.provide(OrderPlacedSubscriber)
        return (provider,)

    def register_services(self, _: Any) -> None:
        """Serve nothing."""

    def subscribe_to_events(self, event_bus: Any) -> None:
        """Subscribe to orders."""
        event_bus.subscribe(OrderPlaced, OrderPlacedSubscriber)
