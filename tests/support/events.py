"""For tests of what events lead to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from aura.kernel.database import sync_url
from aura.kernel.events.transport import GrpcEventTransport
from aura.kernel.events.types import event_types_of
from generated.aura.events.v1.event_pb2 import Event

SECONDS = 20.0


async def published(url: Any, module: str) -> list[Message]:
    """Returns the events that a module has published, the oldest first, to be compared with what they should be."""
    connection = await asyncpg.connect(sync_url(url))
    try:
        rows = await connection.fetch(f"SELECT event_type, data FROM {module}.outbox_events ORDER BY event_id")
    finally:
        await connection.close()
    types, found = event_types_of(module), []
    for row in rows:
        message = types[row["event_type"]].message_class()
        assert AnyMessage.FromString(row["data"]).Unpack(message)
        found.append(message)
    return found


@dataclass
class Deliveries:
    """Makes transports for a host (`event_transport=`) that deliver in an unusual way, and counts what they deliver.

    Attributes:
        times: how often each event is delivered at once; a last time follows.
        crash_after: the relay dies in its so many-th delivery, when the subscriber has handled the event and the relay
            does not know it yet. Never, if None.
    """

    times: int = 1
    crash_after: int | None = None
    count: int = 0
    subscribers: Counter[str] = field(default_factory=Counter)

    def __call__(self, **arguments: Any) -> GrpcEventTransport:
        return _UnusualTransport(self, **arguments)


class _UnusualTransport(GrpcEventTransport):
    def __init__(self, deliveries: Deliveries, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._deliveries = deliveries

    async def deliver(self, subscriber: str, event: Event, **options: Any) -> None:
        deliver, seen = super().deliver, self._deliveries
        await asyncio.gather(*(deliver(subscriber, event, **options) for _ in range(seen.times)))
        if seen.times > 1:
            await deliver(subscriber, event, **options)
        seen.count += 1
        seen.subscribers[subscriber] += 1
        if seen.count == seen.crash_after:
            await asyncio.Event().wait()  # as of a process that was killed: nothing is said any more


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
