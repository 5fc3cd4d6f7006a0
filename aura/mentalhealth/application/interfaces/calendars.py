"""When people are busy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from aura.mentalhealth.domain.entities.period import Period


class Calendars(Protocol):
    """Knows when sessions take up people's time, and nothing else of them."""

    async def busy_periods(
        self, user_ids: Collection[UUID], *, during: Period, except_session: UUID | None = None
    ) -> Sequence[Period]:
        """Returns the periods that overlap `during` and in which none of the users can be booked, in no order.

        What `except_session` takes up is left out.
        """
        ...
