"""Counts attempts, so that nobody can go on guessing: in the database, for all processes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, text, update

from aura.kernel.database import Execute
from aura.users.models.throttle import Limit, throttles_table

# An attempt counts before it is looked at, so that however many are made at once, no more than the limit are. One that
# is not admitted does not prolong the lock: otherwise a stranger could keep somebody out for ever.
_ADMIT = text("""
INSERT INTO users.throttles AS t (key, attempts, until_time) VALUES (:key, 1, :until)
ON CONFLICT (key) DO UPDATE SET
  attempts = CASE WHEN t.until_time <= :now THEN 1 ELSE least(t.attempts, :maximum) + 1 END,
  until_time = CASE WHEN t.until_time <= :now OR t.attempts < :maximum THEN excluded.until_time ELSE t.until_time END
RETURNING attempts
""")


class ThrottleRepository:
    """The counts, in PostgreSQL; each statement is a transaction of its own."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def count(self, key: str, limit: Limit, now: datetime) -> int:
        """Counts an attempt; returns the how manieth it is, where one more than the limit stands for all beyond it."""
        rows = await self._execute(
            _ADMIT, {"key": key, "now": now, "until": now + limit.pause, "maximum": limit.attempts}
        )
        return int(rows[0].attempts)

    async def forget(self, key: str) -> None:
        """Forgets all attempts, for the last one succeeded."""
        await self._execute(delete(throttles_table).where(throttles_table.c.key == key))

    async def take_back(self, key: str) -> None:
        """Forgets one attempt, for it succeeded."""
        statement = update(throttles_table).where(throttles_table.c.key == key, throttles_table.c.attempts > 0)
        await self._execute(statement.values(attempts=throttles_table.c.attempts - 1))

    async def forget_expired(self, now: datetime) -> None:
        """Deletes the counts that hold nobody back any more."""
        await self._execute(delete(throttles_table).where(throttles_table.c.until_time <= now))
