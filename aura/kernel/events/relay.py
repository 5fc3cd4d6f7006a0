"""Delivers what a module has published: takes queues that are due, a few at a time, each under a lease."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from sqlalchemy import text

from aura.kernel.errors import AuraError
from aura.kernel.events.metrics import EventMetrics
from aura.kernel.events.relay_settings import RelaySettings
from aura.kernel.ids import first_id_at
from aura.kernel.times import to_timestamp
from generated.aura.events.v1 import event_pb2

if TYPE_CHECKING:
    from aura.kernel.database import Database
    from aura.kernel.events.outbox import Outbox
    from aura.kernel.events.transport import EventTransport

log = structlog.get_logger()

NOT_REACHED = {"MODULE_UNAVAILABLE", "TOPOLOGY_MISMATCH", "SERVER_STOPPING", "OVERLOADED"}
"""Reasons that say nothing about the event: the subscriber has not seen it."""


@dataclass(kw_only=True)
class _Queue:
    """A queue under lease, with the events to deliver next."""

    subscriber: str
    subject: str
    lease: int
    attempts: int
    next_sequence: int
    discarding: int | None
    events: list[event_pb2.Event] = field(default_factory=list)


class Relay:
    """One module's relay. Any number of processes may run one each: leases keep them apart."""

    def __init__(
        self,
        *,
        module: str,
        database: Database,
        outbox: Outbox,
        transport: EventTransport,
        settings: RelaySettings,
        metrics: EventMetrics | None = None,
    ) -> None:
        self._metrics = metrics or EventMetrics()
        self._module = module
        self._database = database
        self._transport = transport
        self._settings = settings
        self._outbox = outbox
        self._woken = asyncio.Event()
        self._done: list[_Queue] = []
        self._active: dict[asyncio.Task[None], _Queue] = {}
        self._task: asyncio.Task[None] | None = None
        self._statements = {name: text(sql.format(schema=module)) for name, sql in _STATEMENTS.items()}

    def start(self) -> None:
        """Begins to deliver."""
        self._task = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Has the relay look at once."""
        self._woken.set()

    async def stop(self) -> None:
        """Ends; what is under way is given up, for others to take up."""
        given_up = dict(self._active)
        tasks = [task for task in (self._task, *given_up) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        with suppress(Exception):  # the leases run out instead
            await self._acknowledge()
            for task, queue in given_up.items():
                if task.cancelled():
                    await self._execute(
                        "give_up", subscriber=queue.subscriber, subject=queue.subject, lease=queue.lease
                    )

    async def _run(self) -> None:
        pruned = 0.0
        while True:
            self._woken.clear()
            try:
                await self._acknowledge()
                await self._publish_due()
                free = self._settings.queues_at_a_time - len(self._active)
                claimed = await self._claim(free) if free else []
                loop = asyncio.get_running_loop()
                if loop.time() - pruned > PRUNE_SECONDS:
                    pruned = loop.time()
                    await self._execute("prune", before=first_id_at(time.time() - self._settings.retention))
            except Exception as error:  # noqa: BLE001 the database is away, or slow: the next round brings another try
                log.warning("events cannot be delivered now", module=self._module, cause=type(error).__name__)
                await asyncio.sleep(self._settings.poll)
                continue
            for queue in claimed:
                task = asyncio.create_task(self._work(queue))
                self._active[task] = queue
                task.add_done_callback(self._finished)
            if not claimed or len(self._active) >= self._settings.queues_at_a_time:
                # Not wait_for: on CPython 3.11 it loses a cancellation that comes together with the event.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.poll):
                        await self._woken.wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._active[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("events of a queue were not delivered", module=self._module, exc_info=error)
        self.wake()

    async def _claim(self, limit: int) -> list[_Queue]:
        settings = self._settings
        rows = await self._execute("claim", limit=limit, batch=settings.events_at_a_time, lease=settings.lease)
        return [self._queue(list(group)) for _, group in groupby(rows, key=lambda row: (row.subject, row.subscriber))]

    def _queue(self, rows: Sequence[Any]) -> _Queue:
        first = rows[0]
        return _Queue(
            subscriber=first.subscriber,
            subject=first.subject,
            lease=first.lease,
            attempts=first.attempts,
            next_sequence=first.next_sequence,
            discarding=first.discarding,
            events=[self._event(row) for row in rows],
        )

    def _event(self, row: Any) -> event_pb2.Event:
        return event_pb2.Event(
            event_id=str(row.event_id),
            type=row.event_type,
            subject=row.subject,
            source=self._module,
            time=to_timestamp(row.occur_time),
            sequence=row.sequence,
            actor=event_pb2.EventActor(user_id=row.user_id, module=row.via_module),
            trace_parent=row.trace_parent,
            request_id=row.request_id,
            data=AnyMessage.FromString(row.data),
        )

    async def _work(self, queue: _Queue) -> None:
        """Delivers a queue's events in order, until one fails or the lease might run out."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.lease - self._settings.handler_timeout
        for event in queue.events:
            if loop.time() > until:
                break
            try:
                await self._transport.deliver(
                    queue.subscriber,
                    event,
                    discarded=event.sequence == queue.discarding,
                    timeout=self._settings.handler_timeout,
                )
            except AuraError as error:
                await self._fail(queue, event, error)
                return
            self._metrics.delivered(self._module, queue.subscriber)
            queue.next_sequence, queue.attempts = event.sequence + 1, 1
        self._done.append(queue)

    async def _fail(self, queue: _Queue, event: event_pb2.Event, error: AuraError) -> None:
        reached = error.reason not in NOT_REACHED
        attempts = queue.attempts if reached else queue.attempts - 1
        dead = attempts >= self._settings.attempts
        pause = min(self._settings.first_pause * 2 ** min(queue.attempts - 1, 20), self._settings.longest_pause)
        self._metrics.failed(self._module, queue.subscriber, dead=dead)
        pause *= random.uniform(0.5, 1)  # noqa: S311 to spread, not to hide
        (log.error if dead else log.warning)(
            "event is a dead letter" if dead else "event was not handled",
            event_id=event.event_id,
            event_type=event.type,
            subscriber=queue.subscriber,
            attempts=attempts,
            code=error.code.name,
            reason=error.reason,
            trace_id=_trace_id(event),
        )
        with suppress(Exception):  # the lease runs out instead
            await self._execute(
                "fail",
                subscriber=queue.subscriber,
                subject=queue.subject,
                lease=queue.lease,
                next=event.sequence,
                attempts=attempts,
                pause=pause,
                dead=dead,
                code=error.code.name,
                reason=error.reason,
                trace_id=_trace_id(event),
            )
        asyncio.get_running_loop().call_later(pause, self.wake)

    async def _acknowledge(self) -> None:
        """Stores how far queues have come, all in one statement."""
        if not self._done:
            return
        done, self._done = sorted(self._done, key=lambda queue: (queue.subject, queue.subscriber)), []
        try:
            await self._execute(
                "acknowledge",
                subscriber=[queue.subscriber for queue in done],
                subject=[queue.subject for queue in done],
                lease=[queue.lease for queue in done],
                next=[queue.next_sequence for queue in done],
            )
        except BaseException:
            self._done += done
            raise

    async def _publish_due(self) -> None:
        """Publishes scheduled events whose time has come."""
        rows = await self._execute("due")
        if rows:
            async with self._database.engine.begin() as connection:
                events = await self._outbox.publish_due(connection)
            self._outbox.committed(events)

    async def _execute(self, name: str, **parameters: Any) -> Sequence[Any]:
        return await self._database.execute(self._statements[name], parameters)


def _trace_id(event: event_pb2.Event) -> str:
    return event.trace_parent.split("-")[1] if event.trace_parent.count("-") >= 2 else ""  # noqa: PLR2004 a W3C header


PRUNE_SECONDS = 60.0
_STATEMENTS = {
    "claim": """
WITH due AS (
  SELECT subscriber, subject FROM {schema}.outbox_queues
  WHERE due_time <= clock_timestamp() ORDER BY due_time LIMIT :limit FOR UPDATE SKIP LOCKED
), claimed AS (
  UPDATE {schema}.outbox_queues q
  SET lease = q.lease + 1, attempts = q.attempts + 1, due_time = clock_timestamp() + make_interval(secs => :lease)
  FROM due WHERE q.subscriber = due.subscriber AND q.subject = due.subject
  RETURNING q.subscriber, q.subject, q.lease, q.attempts, q.next_sequence, q.discarding
)
SELECT c.*, d.sequence, e.event_id, e.event_type, e.data, e.user_id, e.via_module, e.trace_parent, e.request_id,
  e.occur_time
FROM claimed c
JOIN {schema}.outbox_deliveries d ON d.subscriber = c.subscriber AND d.subject = c.subject
  AND d.sequence >= c.next_sequence AND d.sequence < c.next_sequence + :batch
JOIN {schema}.outbox_events e ON e.event_id = d.event_id
ORDER BY c.subject, c.subscriber, d.sequence
""",
    "acknowledge": """
WITH done AS (
  SELECT * FROM unnest(
    CAST(:subscriber AS text[]), CAST(:subject AS text[]), CAST(:lease AS bigint[]), CAST(:next AS bigint[])
  ) AS d (subscriber, subject, lease, next)
), locked AS (
  SELECT q.subscriber, q.subject, d.next FROM {schema}.outbox_queues q
  JOIN done d ON d.subscriber = q.subscriber AND d.subject = q.subject AND d.lease = q.lease
  ORDER BY q.subject, q.subscriber FOR UPDATE OF q
), advanced AS (
  UPDATE {schema}.outbox_queues q
  SET next_sequence = l.next, attempts = 0, discarding = NULL,
    due_time = CASE WHEN q.last_sequence >= l.next THEN clock_timestamp() END
  FROM locked l WHERE q.subscriber = l.subscriber AND q.subject = l.subject
)
DELETE FROM {schema}.outbox_deliveries d USING locked l
WHERE d.subscriber = l.subscriber AND d.subject = l.subject AND d.sequence < l.next
""",
    "fail": """
WITH failed AS (
  UPDATE {schema}.outbox_queues
  SET next_sequence = :next, attempts = :attempts, discarding = NULL,
    due_time = CASE WHEN NOT :dead THEN clock_timestamp() + make_interval(secs => :pause) END,
    dead_time = CASE WHEN :dead THEN clock_timestamp() END,
    dead_code = CASE WHEN :dead THEN :code END, dead_reason = CASE WHEN :dead THEN :reason END,
    dead_trace_id = CASE WHEN :dead THEN :trace_id END
  WHERE subscriber = :subscriber AND subject = :subject AND lease = :lease
  RETURNING subscriber, subject
)
DELETE FROM {schema}.outbox_deliveries d USING failed f
WHERE d.subscriber = f.subscriber AND d.subject = f.subject AND d.sequence < :next
""",
    "give_up": """
UPDATE {schema}.outbox_queues SET due_time = clock_timestamp(), attempts = greatest(attempts - 1, 0)
WHERE subscriber = :subscriber AND subject = :subject AND lease = :lease
""",
    "due": "SELECT 1 FROM {schema}.scheduled_events WHERE due_time <= clock_timestamp() LIMIT 1",
    "prune": """
DELETE FROM {schema}.outbox_events e WHERE event_id IN (
  SELECT event_id FROM {schema}.outbox_events e
  WHERE event_id < :before AND NOT EXISTS (SELECT FROM {schema}.outbox_deliveries d WHERE d.event_id = e.event_id)
  ORDER BY event_id LIMIT 10000
)
""",
}
