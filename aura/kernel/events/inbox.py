"""What a subscriber has handled: noted in the transaction that made the changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import TextClause, bindparam, select, text

from aura.kernel.errors import Aborted
from aura.kernel.events.tables import event_tables
from aura.kernel.query import Query

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from aura.kernel.database import Database
    from generated.aura.events.v1.event_pb2 import Event


class EventOutOfOrder(Aborted):
    """An event arrived before an earlier one about its subject has been handled."""

    reason = "EVENT_OUT_OF_ORDER"

    def __init__(self) -> None:
        super().__init__("an earlier event about this subject has not been handled yet")


class AlreadyHandled(Exception):
    """The same event was handled at the same time by another delivery, which won."""


@dataclass(kw_only=True)
class Delivery:
    """The event that a unit of work handles; none for a call that delivers no event."""

    module: str
    event: Event | None = None
    marked: bool = field(default=False, init=False)

    async def was_handled(self, database: Database) -> bool:
        """Returns whether the event has been handled before.

        Raises:
            EventOutOfOrder: An earlier one has not.
        """
        assert self.event is not None
        rows = await database.execute(
            _last_handled(self.module), {"source": self.event.source, "subject": self.event.subject}
        )
        handled = rows[0].sequence if rows else 0
        if handled < self.event.sequence - 1:
            raise EventOutOfOrder
        return bool(handled >= self.event.sequence)

    async def mark(self, connection: AsyncConnection) -> None:
        """Notes, in a transaction, that the event has been handled.

        Raises:
            AlreadyHandled: It had been.
        """
        if self.event is None:
            return
        row = {"source": self.event.source, "subject": self.event.subject, "sequence": self.event.sequence}
        if (await connection.execute(_mark(self.module), row)).one_or_none() is None:
            raise AlreadyHandled
        self.marked = True


@cache
def _last_handled(module: str) -> Query:
    inbox = event_tables(module).inbox
    return Query(
        select(inbox.c.sequence).where(inbox.c.source == bindparam("source"), inbox.c.subject == bindparam("subject"))
    )


@cache
def _mark(module: str) -> TextClause:
    return text(
        f"INSERT INTO {module}.inbox AS i (source, subject, sequence) VALUES (:source, :subject, :sequence) "  # noqa: S608
        "ON CONFLICT (source, subject) DO UPDATE SET sequence = excluded.sequence "
        "WHERE i.sequence = excluded.sequence - 1 RETURNING 1"
    )


NO_DELIVERY = Delivery(module="")
"""What a call has that delivers no event."""
