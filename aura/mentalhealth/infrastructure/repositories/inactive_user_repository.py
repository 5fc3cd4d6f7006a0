"""Users whose accounts are out of use, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from aura.kernel.database import Execute
from aura.mentalhealth.infrastructure.tables import inactive_users

# Apart from the locks on calendars (number 0): who holds one of those may wait for a session's row.
_KEEP_OUT = text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:user_id AS text), 1))")
_STAY_OUT = text(
    "SELECT pg_advisory_xact_lock_shared(hashtextextended(user_id::text, 1)) FROM unnest(:user_ids) AS user_id"
).bindparams(bindparam("user_ids", type_=ARRAY(Uuid)))


class PostgresInactiveUserRepository:
    """Keeps them; advisory locks order bookings and deactivations of one user."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def add(self, user_id: UUID, *, now: datetime) -> None:
        """Adds a user, once bookings of theirs that are under way have ended."""
        await self._execute(_KEEP_OUT, {"user_id": str(user_id)})
        row = {"user_id": user_id, "create_time": now}
        await self._execute(insert(inactive_users).values(row).on_conflict_do_nothing())

    async def remove(self, user_id: UUID) -> None:
        """Removes a user."""
        await self._execute(delete(inactive_users).where(inactive_users.c.user_id == user_id))

    async def among(self, user_ids: Collection[UUID]) -> Collection[UUID]:
        """Returns those who are here. Looks behind the lock: what was added while waiting for it is seen."""
        await self._execute(_STAY_OUT, {"user_ids": sorted(user_ids)})
        rows = await self._execute(select(inactive_users.c.user_id).where(inactive_users.c.user_id.in_(user_ids)))
        return {row.user_id for row in rows}
