"""Figures about events, as Prometheus collects them from each process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from aura.kernel.events.log import EventLog

LAG_SECONDS = 5.0
"""How long the database may take to say how many events wait."""
SUBSCRIPTION = ("source", "subscriber")

log = structlog.get_logger()


class EventMetrics:
    """What this process has published and delivered, and how many events of its modules wait."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._published = Counter(
            "aura_events_published", "Events that were committed here", ["source", "type"], registry=self._registry
        )
        self._delivered = self._counter("delivered", "Deliveries that the subscriber has handled")
        self._retried = self._counter("retried", "Deliveries that failed and will be tried again")
        self._dead = self._counter("dead", "Deliveries that failed for good")
        self._waiting = self._gauge("waiting", "Events that the subscriber has not handled yet")
        self._lag = self._gauge("lag_seconds", "Age of the oldest event that the subscriber has not handled yet")
        self._dead_letters = self._gauge("dead_letters", "Dead letters that wait to be replayed or discarded")
        ProcessCollector(registry=self._registry)

    def published(self, source: str, types: Iterable[str]) -> None:
        """Counts events that were committed."""
        for kind in types:
            self._published.labels(source, kind).inc()

    def delivered(self, source: str, subscriber: str) -> None:
        """Counts a delivery that was handled."""
        self._delivered.labels(source, subscriber).inc()

    def failed(self, source: str, subscriber: str, *, dead: bool) -> None:
        """Counts a delivery that was not."""
        (self._dead if dead else self._retried).labels(source, subscriber).inc()

    async def render(self, logs: Sequence[EventLog]) -> bytes:
        """Returns all figures in Prometheus's text format; without those of the database if it does not answer."""
        gauges = (self._waiting, self._lag, self._dead_letters)
        for gauge in gauges:
            gauge.clear()
        try:
            async with asyncio.timeout(LAG_SECONDS):
                found = [each for log in logs for each in await log.lag()]
        except Exception as error:  # noqa: BLE001 the counters are known all the same
            log.warning("lag of events is not known", cause=type(error).__name__)
            found = []
        for each in found:
            for gauge, figure in zip(gauges, (each.waiting, each.lag_seconds, each.dead), strict=True):
                gauge.labels(each.source, each.subscriber).set(figure)
        return generate_latest(self._registry)

    def _counter(self, name: str, description: str) -> Counter:
        return Counter(f"aura_events_{name}", description, SUBSCRIPTION, registry=self._registry)

    def _gauge(self, name: str, description: str) -> Gauge:
        return Gauge(f"aura_events_{name}", description, SUBSCRIPTION, registry=self._registry)
