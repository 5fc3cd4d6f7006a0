"""Lets a user be booked again whose account is back in use."""

from __future__ import annotations

from uuid import UUID

from aura.mentalhealth.application.interfaces.unit_of_work import UnitOfWork


class ReadmitUser:
    """Lets a user be booked again; sessions that were cancelled stay so."""

    def __init__(self, *, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work

    async def execute(self, user_id: UUID) -> None:
        """Removes the user from those who are not to be booked."""
        async with self._unit_of_work as work:
            await work.inactive_users.remove(user_id)
            await work.commit()
