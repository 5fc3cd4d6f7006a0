"""Who gets which events of a module: rows in the publisher's schema, which migrating keeps as specified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from aura.kernel.module import ModuleSpec


@dataclass(frozen=True, order=True, kw_only=True)
class Subscription:
    """A module that gets events of a type: those from now on, or also those that its publisher still keeps."""

    event_type: str
    subscriber: str
    from_retained: bool = False


def subscriptions_of(specs: Mapping[str, ModuleSpec]) -> Mapping[str, Sequence[Subscription]]:
    """Returns the subscriptions to each module's events, as the specifications declare them."""
    return {
        publisher: sorted(
            Subscription(event_type=event, subscriber=name, from_retained=event in other.subscribes_from_retained)
            for name, other in specs.items()
            for event in other.subscribes
            if event in spec.publishes
        )
        for publisher, spec in specs.items()
    }


async def obsolete_subscriptions(connection: AsyncConnection, module: str, wanted: Sequence[Subscription]) -> bool:
    """Returns whether a publisher's rows differ from what the specifications declare."""
    return await _known(connection, module) != _pairs(wanted)


async def sync_subscriptions(connection: AsyncConnection, module: str, wanted: Sequence[Subscription]) -> None:
    """Adds and removes a publisher's rows; waits for transactions that publish, so that none misses a subscriber."""
    known = await _known(connection, module)
    if known == _pairs(wanted):
        return
    await connection.execute(text(f"LOCK TABLE {module}.event_subscriptions IN ACCESS EXCLUSIVE MODE"))
    for event_type, subscriber in known - _pairs(wanted):
        row = {"event_type": event_type, "subscriber": subscriber}
        await connection.execute(text(_REMOVE.format(schema=module)), row)  # what is on its way is delivered
    for subscription in wanted:
        row = {"event_type": subscription.event_type, "subscriber": subscription.subscriber}
        if (subscription.event_type, subscription.subscriber) not in known:
            await connection.execute(text(_ADD.format(schema=module)), row)
            if subscription.from_retained:
                await connection.execute(text(_ADD_RETAINED.format(schema=module)), row)


async def _known(connection: AsyncConnection, module: str) -> set[tuple[str, str]]:
    rows = await connection.execute(text(f"SELECT event_type, subscriber FROM {module}.event_subscriptions"))  # noqa: S608
    return {(row.event_type, row.subscriber) for row in rows}


def _pairs(subscriptions: Sequence[Subscription]) -> set[tuple[str, str]]:
    return {(each.event_type, each.subscriber) for each in subscriptions}


_ADD = "INSERT INTO {schema}.event_subscriptions (event_type, subscriber) VALUES (:event_type, :subscriber)"
_REMOVE = "DELETE FROM {schema}.event_subscriptions WHERE event_type = :event_type AND subscriber = :subscriber"
_ADD_RETAINED = """
WITH wanted AS (
  SELECT event_id, subject, row_number() OVER (PARTITION BY subject ORDER BY event_id) AS number,
    count(*) OVER (PARTITION BY subject) AS total
  FROM {schema}.outbox_events WHERE event_type = :event_type
), queued AS (
  INSERT INTO {schema}.outbox_queues AS q
    (subscriber, subject, last_sequence, next_sequence, due_time, attempts, lease)
  SELECT :subscriber, subject, max(total), 1, clock_timestamp(), 0, 0 FROM wanted GROUP BY subject ORDER BY subject
  ON CONFLICT (subscriber, subject) DO UPDATE SET
    last_sequence = q.last_sequence + excluded.last_sequence,
    due_time = CASE WHEN q.dead_time IS NULL THEN coalesce(q.due_time, excluded.due_time) END
  RETURNING subject, last_sequence
)
INSERT INTO {schema}.outbox_deliveries (subscriber, subject, sequence, event_id)
SELECT :subscriber, subject, last_sequence - total + number, event_id FROM wanted JOIN queued USING (subject)
"""
