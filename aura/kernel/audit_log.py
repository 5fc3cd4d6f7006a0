"""One module's audit trail as an admin sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, select

from aura.kernel.audit import AuditEntry, AuditTrail, audit_table
from aura.kernel.ids import first_id_at
from aura.kernel.pagination import Page, Position, page_size_of
from aura.kernel.times import from_timestamp, to_timestamp
from generated.aura.audit.v1 import audit_service_pb2 as pb

if TYPE_CHECKING:
    from aura.kernel.database import Database

CLOCK_SKEW_SECONDS = 300.0
"""How far the clocks that ids are made by may be from the database's, by which times are compared."""
ANSWER_BYTES = 2 * 1024 * 1024
"""How long an answer may be: an entry can name a thousand sessions, and a message takes 4 MiB."""
ANY = "*"


class AuditLog:
    """Reads a module's audit trail, and writes down there who did."""

    def __init__(self, *, module: str, database: Database) -> None:
        self._module = module
        self._database = database
        self._table = audit_table(module)
        self._trail = AuditTrail(module=module, database=database)

    async def page(self, request: pb.ListAuditEntriesRequest, *, after: Position | None) -> Page[pb.AuditEntry]:
        """Returns the page of entries that begins behind the position `after`; the newest if that is None."""
        size, audit_id = page_size_of(request.page_size), self._table.c.audit_id
        statement = select(self._table).where(*self._conditions(request)).order_by(audit_id.desc()).limit(size + 1)
        if after is not None:
            statement = statement.where(audit_id < UUID(after[0]))
        found = [self._entry(row) for row in await self._database.execute(statement)]
        page = Page.cut(found, size=_fitting(found[:size]), key=lambda entry: [entry.audit_id])
        await self._trail.write_alone(_reading(request, len(page.items)))
        return page

    def _conditions(self, request: pb.ListAuditEntriesRequest) -> Iterator[ColumnElement[bool]]:
        column = self._table.c
        if request.subject:
            yield column.subject == request.subject
        if request.actor:
            yield column.actor == request.actor
        if request.action.endswith(ANY):
            yield column.action.startswith(request.action.removesuffix(ANY), autoescape=True)
        elif request.action:
            yield column.action == request.action
        if request.HasField("from_time"):
            start = from_timestamp(request.from_time, field="from_time")
            yield column.occur_time >= start
            yield column.audit_id >= _id_near(start, -CLOCK_SKEW_SECONDS)
        if request.HasField("to_time"):
            end = from_timestamp(request.to_time, field="to_time")
            yield column.occur_time < end
            yield column.audit_id < _id_near(end, CLOCK_SKEW_SECONDS)

    def _entry(self, row: Any) -> pb.AuditEntry:
        return pb.AuditEntry(
            audit_id=str(row.audit_id),
            occur_time=to_timestamp(row.occur_time),
            module=self._module,
            action=row.action,
            subject=row.subject,
            actor=row.actor,
            via_module=row.via_module,
            source=row.source,
            request_id=row.request_id,
            trace_id=row.trace_id,
            details=row.details,
        )


def _id_near(time: datetime, seconds: float) -> UUID:
    """Returns an id by which the index of ids is cut, some seconds from a time."""
    return first_id_at(time.timestamp() + seconds)


def _fitting(entries: Sequence[pb.AuditEntry]) -> int:
    """Returns how many entries fit into one answer; one always does."""
    lengths = accumulate(entry.ByteSize() for entry in entries)
    return max(1, sum(length <= ANSWER_BYTES for length in lengths))


def _reading(request: pb.ListAuditEntriesRequest, count: int) -> AuditEntry:
    """Returns the entry about a reading: what was asked for, and how much was shown."""
    asked = {"of_actor": request.actor, "of_action": request.action}
    details = {name: value for name, value in asked.items() if value} | {"entries": str(count)}
    return AuditEntry(action="audit.read", subject=request.subject, details=details)
