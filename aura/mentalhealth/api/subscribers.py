"""Handles the events of other modules."""

from __future__ import annotations

from uuid import UUID

from aura.mentalhealth.application.use_cases.readmit_user import ReadmitUser
from aura.mentalhealth.application.use_cases.release_user import ReleaseUser
from generated.aura.users.v1 import events_pb2


class UserDeactivatedSubscriber:
    """Takes whoever was deactivated off the calendar."""

    def __init__(self, *, release: ReleaseUser) -> None:
        self._release = release

    async def handle(self, event: events_pb2.UserDeactivated) -> None:
        """Cancels the user's future sessions."""
        await self._release.execute(UUID(event.user_id))


class UserReactivatedSubscriber:
    """Lets whoever was reactivated be booked again."""

    def __init__(self, *, readmit: ReadmitUser) -> None:
        self._readmit = readmit

    async def handle(self, event: events_pb2.UserReactivated) -> None:
        """Admits the user."""
        await self._readmit.execute(UUID(event.user_id))
