"""Who is not to be booked any more, as far as this module has heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID


class InactiveUserRepository(Protocol):
    """Keeps the users whose accounts are out of use, so that no booking slips in once their sessions are cancelled."""

    async def add(self, user_id: UUID, *, now: datetime) -> None:
        """Adds a user; waits for bookings of theirs that are under way, and has later ones find them here."""
        ...

    async def remove(self, user_id: UUID) -> None:
        """Removes a user."""
        ...

    async def among(self, user_ids: Collection[UUID]) -> Collection[UUID]:
        """Returns those of some users who are here; until the unit of work ends, none of them comes in."""
        ...
