"""One module's outbox as an operator sees it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from google.protobuf.any_pb2 import Any as AnyMessage
from sqlalchemy import text

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.database import execute_on
from aura.kernel.ids import first_id_at
from aura.kernel.times import to_timestamp
from generated.aura.events.v1 import event_admin_service_pb2 as pb
from generated.aura.events.v1 import event_pb2

if TYPE_CHECKING:
    from aura.kernel.database import Database

LATE_COMMIT_SECONDS = 10.0
"""How much later than its id was made an event may become visible, and still be seen by who follows."""


class EventLog:
    """Reads and repairs."""

    def __init__(self, *, module: str, database: Database) -> None:
        self.module = module
        self._database = database
        self._trail = AuditTrail(module=module, database=database)
        self._statements = {name: text(sql.format(schema=module)) for name, sql in _STATEMENTS.items()}

    async def lag(self) -> list[pb.SubscriptionLag]:
        """Returns how far each subscriber lags behind."""
        return [
            pb.SubscriptionLag(
                source=self.module,
                subscriber=row.subscriber,
                waiting=row.waiting,
                lag_seconds=row.lag_seconds,
                dead=row.dead,
            )
            for row in await self._execute("lag")
        ]

    async def dead_letters(self, chosen: pb.DeadLetterFilter) -> list[pb.DeadLetter]:
        """Returns dead letters, the oldest first."""
        if chosen.source not in {"", self.module}:
            return []
        return [
            pb.DeadLetter(
                event_id=str(row.event_id),
                type=row.event_type,
                subject=row.subject,
                source=self.module,
                subscriber=row.subscriber,
                attempts=row.attempts,
                code=row.dead_code,
                reason=row.dead_reason,
                trace_id=row.dead_trace_id,
                dead_time=to_timestamp(row.dead_time),
                held_back=row.held_back,
            )
            for row in await self._execute("dead", **_conditions(chosen))
        ]

    async def details(self, event_id: str) -> pb.EventDetails | None:
        """Returns an event and its unfinished deliveries; None if it is not here."""
        rows = await self._execute("event", event_id=UUID(event_id))
        if not rows:
            return None
        deliveries = [
            pb.EventDelivery(
                subscriber=row.subscriber, sequence=row.sequence, attempts=row.attempts, dead=row.dead_time is not None
            )
            for row in await self._execute("unfinished", event_id=UUID(event_id))
        ]
        return pb.EventDetails(event=self._event(rows[0]), unfinished=deliveries)

    async def replay(self, chosen: pb.DeadLetterFilter) -> int:
        """Has dead letters delivered again; returns how many."""
        return await self._release(chosen, discard=False)

    async def discard(self, chosen: pb.DeadLetterFilter) -> int:
        """Passes over dead letters; returns how many."""
        return await self._release(chosen, discard=True)

    async def since(self, seconds: float, request: pb.TailEventsRequest) -> list[event_pb2.Event]:
        """Returns the events of the last so many seconds, and of the moment before."""
        if request.source not in {"", self.module}:
            return []
        first = first_id_at(time.time() - seconds - LATE_COMMIT_SECONDS)
        rows = await self._execute("since", first=first, type=request.type, subject=request.subject)
        return [self._event(row) for row in rows]

    async def _release(self, chosen: pb.DeadLetterFilter, *, discard: bool) -> int:
        if chosen.source not in {"", self.module}:
            return 0
        conditions = _conditions(chosen)
        entry = AuditEntry(action="events.discarded" if discard else "events.replayed", details=conditions)
        async with self._database.engine.begin() as connection:
            execute = partial(execute_on, connection)
            released = await execute(self._statements["release"], {"discard": discard, **conditions})
            await self._trail.write(execute, [replace(entry, details={**conditions, "count": str(len(released))})])
        return len(released)

    def _event(self, row: Any) -> event_pb2.Event:
        """Returns an event as operators see it: without what it says, and of whom, for that may be health data."""
        return event_pb2.Event(
            event_id=str(row.event_id),
            type=row.event_type,
            subject=row.subject,
            source=self.module,
            time=to_timestamp(row.occur_time),
            actor=event_pb2.EventActor(module=row.via_module),
            trace_parent=row.trace_parent,
            request_id=row.request_id,
            data=AnyMessage(type_url=AnyMessage.FromString(row.data).type_url),
        )

    async def _execute(self, name: str, **parameters: Any) -> Sequence[Any]:
        return await self._database.execute(self._statements[name], parameters)


def _conditions(chosen: pb.DeadLetterFilter) -> dict[str, str]:
    return {"subscriber": chosen.subscriber, "subject": chosen.subject, "event_id": chosen.event_id}


_CHOSEN = """
q.dead_time IS NOT NULL
  AND CAST(:subscriber AS text) IN ('', q.subscriber) AND CAST(:subject AS text) IN ('', q.subject)
  AND CAST(:event_id AS text) IN ('', d.event_id::text)
"""
_STATEMENTS = {  # put together of constants
    "lag": """
SELECT s.subscriber,
  (SELECT count(*) FROM {schema}.outbox_deliveries d WHERE d.subscriber = s.subscriber) AS waiting,
  (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(e.occur_time)), 0)::float8
   FROM {schema}.outbox_deliveries d JOIN {schema}.outbox_events e USING (event_id)
   WHERE d.subscriber = s.subscriber) AS lag_seconds,
  (SELECT count(*) FROM {schema}.outbox_queues q WHERE q.subscriber = s.subscriber AND q.dead_time IS NOT NULL) AS dead
FROM (SELECT DISTINCT subscriber FROM {schema}.event_subscriptions) s ORDER BY 1
""",
    "dead": f"""
SELECT q.*, d.event_id, e.event_type, q.last_sequence - q.next_sequence AS held_back
FROM {{schema}}.outbox_queues q
JOIN {{schema}}.outbox_deliveries d
  ON d.subscriber = q.subscriber AND d.subject = q.subject AND d.sequence = q.next_sequence
JOIN {{schema}}.outbox_events e ON e.event_id = d.event_id
WHERE {_CHOSEN} ORDER BY q.dead_time LIMIT 1000
""",  # noqa: S608
    "event": "SELECT * FROM {schema}.outbox_events WHERE event_id = :event_id",
    "unfinished": """
SELECT d.subscriber, d.sequence, q.attempts, CASE WHEN d.sequence = q.next_sequence THEN q.dead_time END AS dead_time
FROM {schema}.outbox_deliveries d JOIN {schema}.outbox_queues q USING (subscriber, subject)
WHERE d.event_id = :event_id ORDER BY d.subscriber
""",
    "release": f"""
WITH chosen AS (
  SELECT q.subscriber, q.subject FROM {{schema}}.outbox_queues q
  JOIN {{schema}}.outbox_deliveries d
    ON d.subscriber = q.subscriber AND d.subject = q.subject AND d.sequence = q.next_sequence
  WHERE {_CHOSEN} ORDER BY q.subject, q.subscriber FOR UPDATE OF q
)
UPDATE {{schema}}.outbox_queues q
SET attempts = 0, due_time = clock_timestamp(), discarding = CASE WHEN :discard THEN q.next_sequence END,
  dead_time = NULL, dead_code = NULL, dead_reason = NULL, dead_trace_id = NULL
FROM chosen c WHERE q.subscriber = c.subscriber AND q.subject = c.subject RETURNING 1
""",  # noqa: S608
    "since": """
SELECT * FROM {schema}.outbox_events
WHERE event_id >= :first AND CAST(:type AS text) IN ('', event_type) AND CAST(:subject AS text) IN ('', subject)
ORDER BY event_id
""",
}
