"""Requests that are safe to repeat: a caller's `request_id` is remembered with the resource it led to.

Ids are stored, never answers: a repeated call reads the resource again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    DateTime,
    Interval,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    cast,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from aura.kernel.errors import AlreadyExists

if TYPE_CHECKING:
    from uuid import UUID

    from google.protobuf.message import Message
    from sqlalchemy.ext.asyncio import AsyncConnection

KEPT = cast(literal("24 hours"), Interval)


class RequestIdReused(AlreadyExists):
    """A request id came twice with different content."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self) -> None:
        super().__init__("this request_id was used for a different request; choose a new one")


class ConcurrentReplay(Exception):
    """The same request is being carried out at the same time; running this one again finds its result."""


def idempotency_table(schema: str) -> Table:
    """Describes a module's table of remembered requests."""
    return Table(
        "idempotency",
        MetaData(schema=schema),
        Column("actor", Text, primary_key=True),
        Column("method", Text, primary_key=True),
        Column("request_id", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("resource_id", Uuid, nullable=False),
        Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now(), index=True),
    )


@dataclass(frozen=True, kw_only=True)
class IdempotentRequest:
    """A request as one module remembers it: who asked for what, and under which id."""

    table: Table
    actor: str
    method: str
    request_id: str
    fingerprint: bytes

    async def find(self, connection: AsyncConnection) -> UUID | None:
        """Returns the resource that the request led to in the last 24 hours, if it did.

        Raises:
            RequestIdReused: The id belongs to a request with other content.
        """
        columns = self.table.c
        query = select(columns.fingerprint, columns.resource_id).where(
            columns.actor == self.actor,
            columns.method == self.method,
            columns.request_id == self.request_id,
            columns.create_time > func.now() - KEPT,
        )
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        if row.fingerprint != self.fingerprint:
            raise RequestIdReused
        return row.resource_id  # type: ignore[no-any-return] # the column is a UUID

    async def claim(self, connection: AsyncConnection) -> None:
        """Holds off the same request in other transactions until this one ends.

        Raises:
            ConcurrentReplay: It has been carried out since it was looked for.
        """
        await connection.execute(select(func.pg_advisory_xact_lock(self._lock_key())))
        if await self.find(connection) is not None:
            raise ConcurrentReplay

    async def remember(self, connection: AsyncConnection, resource_id: UUID) -> None:
        """Remembers what the request led to, in the transaction that did it."""
        row = {
            "actor": self.actor,
            "method": self.method,
            "request_id": self.request_id,
            "fingerprint": self.fingerprint,
            "resource_id": resource_id,
        }
        replace_expired = (
            insert(self.table)
            .values(row)
            .on_conflict_do_update(constraint=self.table.primary_key, set_={**row, "create_time": func.now()})
        )
        await connection.execute(replace_expired)

    def _lock_key(self) -> int:
        identity = f"{self.actor}\0{self.method}\0{self.request_id}"
        return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], signed=True)


async def forget_expired(connection: AsyncConnection, table: Table) -> int:
    """Deletes what need not be remembered any more; returns how many rows."""
    return (await connection.execute(delete(table).where(table.c.create_time <= func.now() - KEPT))).rowcount


def fingerprint_of(request: Message) -> bytes:
    """Returns a digest that two requests share only if their content is the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
