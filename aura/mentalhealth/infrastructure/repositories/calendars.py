"""Reads from PostgreSQL when people are busy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import Range

from aura.kernel.database import Execute
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.infrastructure.tables import session_participants


class PostgresCalendars:
    """Reads what the constraint holds by which no two sessions of one person overlap: so both always agree."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def busy_periods(
        self, user_ids: Collection[UUID], *, during: Period, except_session: UUID | None = None
    ) -> Sequence[Period]:
        """Returns the periods that overlap `during` and in which none of the users can be booked, in no order."""
        taken = session_participants.c
        query = select(taken.period).where(
            or_(*(_range_of(taken.user_id).op("&&")(_range_of(user_id)) for user_id in user_ids)),
            taken.period.op("&&")(Range(during.start, during.end)),
        )
        if except_session is not None:
            query = query.where(taken.session_id != except_session)
        return [Period(start=row.period.lower, end=row.period.upper) for row in await self._execute(query)]


def _range_of(user_id: Any) -> Any:
    """Returns a user id in the form that the constraint's index holds.

    The bounds are written out: with a parameter in their place, a plan for any parameters could not use the index.
    """
    return func.mentalhealth.uuid_range(user_id, user_id, literal_column("'[]'"))
