"""Publishing: events are stored with the changes that they tell of, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.any_pb2 import Any as AnyMessage
from sqlalchemy import text

from aura.kernel.database import fields_of
from aura.kernel.events.metrics import EventMetrics
from aura.kernel.events.types import event_type_of
from aura.kernel.ids import new_id
from aura.kernel.interceptors.call import current_call
from aura.kernel.security.actor import LOCAL_ACTOR_ID

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from sqlalchemy.ext.asyncio import AsyncConnection


class UndeclaredEvent(RuntimeError):
    """A module published an event that its specification does not name."""

    def __init__(self, *, module: str, event_type: str) -> None:
        super().__init__(
            f"module {module} may not publish {event_type}: add it to the `publishes` of {module} in aura/modules.py"
        )


@dataclass(frozen=True, kw_only=True)
class OutgoingEvent:
    """An event on its way into the outbox."""

    event_id: UUID
    event_type: str
    subject: str
    data: bytes
    user_id: str
    via_module: str
    trace_parent: str
    request_id: str
    at: datetime | None = None
    key: str | None = None


class Outbox:
    """A module's way to publish events.

    Args:
        module: who publishes.
        publishes: the types that its specification names.
        metrics: counts what is published.
        wake: called after a commit that left something to deliver.
    """

    def __init__(
        self,
        *,
        module: str,
        publishes: Collection[str],
        metrics: EventMetrics | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._module = module
        self._metrics = metrics or EventMetrics()
        self._publishes = publishes
        self.wake = wake
        self._publish = text(_PUBLISH.format(schema=module))
        self._schedule = text(_SCHEDULE.format(schema=module))
        self._take_due = text(_TAKE_DUE.format(schema=module))
        self._cancel = text(f"DELETE FROM {module}.scheduled_events WHERE key = ANY(:keys)")  # noqa: S608 a schema

    def outgoing(self, event: Message, *, at: datetime | None = None, key: str | None = None) -> OutgoingEvent:
        """Returns an event as it is stored: with who caused it, and in which call.

        Raises:
            NotAnEvent: The message is none.
            UndeclaredEvent: The module's specification does not name its type.
            ValueError: It does not say what it is about, or has a key and no time.
        """
        kind = event_type_of(type(event))
        if kind.name not in self._publishes:
            raise UndeclaredEvent(module=self._module, event_type=kind.name)
        if key is not None and at is None:
            raise ValueError("a key names a scheduled event: say when it is due, with at=")
        data, call = AnyMessage(), current_call.get()
        data.Pack(event, deterministic=True)
        return OutgoingEvent(
            event_id=new_id(),
            event_type=kind.name,
            subject=kind.subject_of(event),
            data=data.SerializeToString(),
            user_id=call.actor.user_id if call else LOCAL_ACTOR_ID,
            via_module=(call.actor.via_module or "") if call else "",
            trace_parent=call.trace.metadata[0][1] if call and call.trace else "",
            request_id=call.request_id if call else "",
            at=at,
            key=key,
        )

    async def write(self, connection: AsyncConnection, events: Sequence[OutgoingEvent]) -> None:
        """Stores events: those that are scheduled until they are due, the others for each of their subscribers."""
        now = sorted((event for event in events if event.at is None), key=lambda event: event.subject)
        later = [event for event in events if event.at is not None]
        if now:
            await connection.execute(self._publish, _columns(now))
        for event in later:
            row = {name: values[0] for name, values in _columns([event]).items()}
            await connection.execute(
                self._schedule, {**row, "key": event.key or str(event.event_id), "due_time": event.at}
            )

    async def publish_due(self, connection: AsyncConnection) -> list[OutgoingEvent]:
        """Publishes scheduled events whose time has come; returns them."""
        rows = (await connection.execute(self._take_due)).all()
        events = [OutgoingEvent(**fields_of(row)) for row in rows]
        await self.write(connection, events)
        return events

    def committed(self, events: Sequence[OutgoingEvent]) -> None:
        """Is told of events whose transaction is committed."""
        self._metrics.published(self._module, (event.event_type for event in events if event.at is None))
        self.wake()

    async def cancel(self, connection: AsyncConnection, keys: Sequence[str]) -> None:
        """Forgets scheduled events that are not due yet."""
        await connection.execute(self._cancel, {"keys": list(keys)})


COLUMNS = ("event_id", "event_type", "subject", "data", "user_id", "via_module", "trace_parent", "request_id")


def _columns(events: Sequence[OutgoingEvent]) -> dict[str, list[Any]]:
    return {name: [getattr(event, name) for event in events] for name in COLUMNS}


# One statement, however many events there are. A queue's row is locked until the transaction ends, so that its sequence
# has no gaps and follows the order of commits; queues are locked in one order by all.
_PUBLISH = """
WITH published AS (
  SELECT * FROM unnest(
    CAST(:event_id AS uuid[]), CAST(:event_type AS text[]), CAST(:subject AS text[]), CAST(:data AS bytea[]),
    CAST(:user_id AS text[]), CAST(:via_module AS text[]), CAST(:trace_parent AS text[]), CAST(:request_id AS text[])
  ) WITH ORDINALITY
  AS e (event_id, event_type, subject, data, user_id, via_module, trace_parent, request_id, number)
), stored AS (
  INSERT INTO {schema}.outbox_events
    (event_id, event_type, subject, data, user_id, via_module, trace_parent, request_id)
  SELECT event_id, event_type, subject, data, user_id, via_module, trace_parent, request_id FROM published
), wanted AS (
  SELECT subscriber, subject, event_id, row_number() OVER each_queue AS number, count(*) OVER whole_queue AS total
  FROM published JOIN {schema}.event_subscriptions USING (event_type)
  WINDOW each_queue AS (PARTITION BY subscriber, subject ORDER BY number),
         whole_queue AS (PARTITION BY subscriber, subject)
), queued AS (
  INSERT INTO {schema}.outbox_queues AS q
    (subscriber, subject, last_sequence, next_sequence, due_time, attempts, lease)
  SELECT subscriber, subject, max(total), 1, clock_timestamp(), 0, 0
  FROM wanted GROUP BY subscriber, subject ORDER BY subject, subscriber
  ON CONFLICT (subscriber, subject) DO UPDATE SET
    last_sequence = q.last_sequence + excluded.last_sequence,
    due_time = CASE WHEN q.dead_time IS NULL THEN coalesce(q.due_time, excluded.due_time) END
  RETURNING subscriber, subject, last_sequence
)
INSERT INTO {schema}.outbox_deliveries (subscriber, subject, sequence, event_id)
SELECT subscriber, subject, last_sequence - total + number, event_id FROM wanted JOIN queued USING (subscriber, subject)
"""
_TAKE_DUE = """
DELETE FROM {schema}.scheduled_events WHERE key IN (
  SELECT key FROM {schema}.scheduled_events WHERE due_time <= clock_timestamp()
  ORDER BY due_time LIMIT 100 FOR UPDATE SKIP LOCKED
) RETURNING event_id, event_type, subject, data, user_id, via_module, trace_parent, request_id
"""
_SCHEDULE = """
INSERT INTO {schema}.scheduled_events
  (key, due_time, event_id, event_type, subject, data, user_id, via_module, trace_parent, request_id)
VALUES
  (:key, :due_time, :event_id, :event_type, :subject, :data, :user_id, :via_module, :trace_parent, :request_id)
ON CONFLICT (key) DO UPDATE SET
  due_time = excluded.due_time, event_id = excluded.event_id, event_type = excluded.event_type,
  subject = excluded.subject, data = excluded.data, user_id = excluded.user_id, via_module = excluded.via_module,
  trace_parent = excluded.trace_parent, request_id = excluded.request_id
"""
