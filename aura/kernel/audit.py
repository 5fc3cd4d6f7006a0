"""The audit trail: who did what, kept where the module that writes it can neither change nor delete it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, DateTime, Index, MetaData, Table, Text, Uuid, bindparam, cast, func, insert
from sqlalchemy.dialects.postgresql import JSONB

from aura.kernel.ids import new_id
from aura.kernel.interceptors.call import current_call
from aura.kernel.query import Query
from aura.kernel.security.actor import LOCAL_ACTOR_ID

if TYPE_CHECKING:
    from aura.kernel.database import Database, Execute

_PLAIN = ("audit_id", "action", "subject", "actor", "via_module", "source", "request_id", "trace_id")
"""The columns that an entry's row gives as they are."""


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """Something that happened, worth being accounted for: with ids, and without what people said of themselves.

    Attributes:
        action: What was done, as `login.succeeded`.
        subject: The id of whom or what it was done to; empty if nobody is known.
        details: More about it, in words of ours.
    """

    action: str
    subject: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


def audit_table(module: str) -> Table:
    """Describes a module's audit trail."""
    table = Table(
        "audit",
        MetaData(schema=module),
        Column("audit_id", Uuid, primary_key=True),
        Column("occur_time", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
        Column("action", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("via_module", Text, nullable=False),
        Column("source", Text, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("trace_id", Text, nullable=False),
        Column("details", JSONB, nullable=False),
    )
    Index("audit_subject", table.c.subject, table.c.audit_id)
    Index("audit_actor", table.c.actor, table.c.audit_id)
    Index("audit_action", table.c.action, table.c.audit_id, postgresql_ops={"action": "text_pattern_ops"})
    return table


class AuditTrail:
    """Writes a module's audit trail."""

    def __init__(self, *, module: str, database: Database) -> None:
        self._database = database
        table = audit_table(module)
        given: dict[str, Any] = {name: bindparam(name, type_=table.c[name].type) for name in _PLAIN}
        self._insert = Query(insert(table).values(given | {"details": cast(bindparam("details", type_=Text), JSONB)}))

    async def write(self, execute: Execute, entries: Sequence[AuditEntry]) -> None:
        """Adds entries, with who calls: inside a transaction, so that they last if what they tell of does."""
        for entry in entries:
            await execute(self._insert, _row(entry))

    async def write_alone(self, entry: AuditEntry) -> None:
        """Adds an entry in a transaction of its own: of what was refused, nothing else is stored."""
        await self.write(self._database.execute, [entry])
        self.committed()

    def committed(self) -> None:
        """Notes with the present call that what it wrote will last."""
        if (call := current_call.get()) is not None:
            call.audited = True


def _row(entry: AuditEntry) -> dict[str, Any]:
    call = current_call.get()
    return {
        "audit_id": new_id(),
        "action": entry.action,
        "subject": entry.subject,
        "actor": call.actor.user_id if call else LOCAL_ACTOR_ID,
        "via_module": (call.actor.via_module or "") if call else "",
        "source": call.actor.source if call else "",
        "request_id": call.request_id if call else "",
        "trace_id": call.trace.trace_id if call and call.trace else "",
        "details": json.dumps(dict(entry.details)),
    }
