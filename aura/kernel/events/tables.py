"""The tables that carry events, in each module's own schema.

A queue holds what one subscriber is to handle about one subject, in order. Its `due_time` says when to look at it next:
now, after a failure's pause, or when a lease runs out; NULL if nothing waits, or if a dead letter holds it back.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, LargeBinary, MetaData, Table, Text, Uuid, func


@dataclass(frozen=True)
class EventTables:
    """A module's tables, as publisher and as subscriber."""

    subscriptions: Table
    events: Table
    deliveries: Table
    queues: Table
    scheduled: Table
    inbox: Table

    @property
    def all(self) -> tuple[Table, ...]:
        """All of them."""
        return self.subscriptions, self.events, self.deliveries, self.queues, self.scheduled, self.inbox


def event_tables(module: str) -> EventTables:
    """Describes the tables of a module."""
    metadata = MetaData(schema=module)
    queues = Table(
        "outbox_queues",
        metadata,
        Column("subscriber", Text, primary_key=True),
        Column("subject", Text, primary_key=True),
        Column("last_sequence", BigInteger, nullable=False),
        Column("next_sequence", BigInteger, nullable=False),
        Column("due_time", DateTime(timezone=True)),
        Column("attempts", Integer, nullable=False),
        Column("lease", BigInteger, nullable=False),
        Column("dead_time", DateTime(timezone=True)),
        Column("dead_code", Text),
        Column("dead_reason", Text),
        Column("dead_trace_id", Text),
        Column("discarding", BigInteger),
    )
    Index("outbox_queues_due", queues.c.due_time, postgresql_where=queues.c.due_time.is_not(None))
    is_dead = queues.c.dead_time.is_not(None)
    Index("outbox_queues_dead", queues.c.subscriber, queues.c.dead_time, postgresql_where=is_dead)
    return EventTables(
        subscriptions=Table(
            "event_subscriptions",
            metadata,
            Column("event_type", Text, primary_key=True),
            Column("subscriber", Text, primary_key=True),
        ),
        events=Table("outbox_events", metadata, Column("event_id", Uuid, primary_key=True), *_event_columns()),
        deliveries=Table(
            "outbox_deliveries",
            metadata,
            Column("subscriber", Text, primary_key=True),
            Column("subject", Text, primary_key=True),
            Column("sequence", BigInteger, primary_key=True),
            Column("event_id", Uuid, nullable=False, index=True),
        ),
        queues=queues,
        scheduled=Table(
            "scheduled_events",
            metadata,
            Column("key", Text, primary_key=True),
            Column("due_time", DateTime(timezone=True), nullable=False, index=True),
            Column("event_id", Uuid, nullable=False),
            *_event_columns(),
        ),
        inbox=Table(
            "inbox",
            metadata,
            Column("source", Text, primary_key=True),
            Column("subject", Text, primary_key=True),
            Column("sequence", BigInteger, nullable=False),
        ),
    )


def _event_columns() -> list[Column[object]]:
    return [
        Column("event_type", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("data", LargeBinary, nullable=False),
        Column("user_id", Text, nullable=False),
        Column("via_module", Text, nullable=False),
        Column("trace_parent", Text, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("occur_time", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    ]
