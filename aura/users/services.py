"""What can be done with users."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aura.kernel.clock import Clock
from aura.users.models import Profile, Role, User
from aura.users.repositories import UserRepository, UsersUnitOfWork


class UserService:
    """Creates users and finds them."""

    def __init__(self, *, unit_of_work: UsersUnitOfWork, users: UserRepository, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._users = users
        self._clock = clock

    async def create(self, *, profile: Profile, roles: tuple[Role, ...]) -> User:
        """Creates an active user.

        Raises:
            EmailTaken: Another user has the e-mail address.
        """
        if (known := await self._unit_of_work.replayed()) is not None:
            return await self._users.get(known)
        user = User.new(profile=profile, roles=roles, now=self._clock.now())
        async with self._unit_of_work as work:
            await work.users.add(user)
            await work.commit(user.user_id)
        return user

    async def get(self, user_id: UUID) -> User:
        """Returns a user.

        Raises:
            UserNotFound: There is none with this id.
        """
        return await self._users.get(user_id)

    async def batch_get(self, user_ids: Sequence[UUID]) -> list[User]:
        """Returns users in the order of their ids.

        Raises:
            UserNotFound: One or more ids are nobody's.
        """
        return await self._users.batch_get(user_ids)
