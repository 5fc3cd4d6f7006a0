"""Reads and writes users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from aura.kernel.database import Connect, violated_constraint
from aura.kernel.unit_of_work import UnitOfWork
from aura.users.errors import EmailTaken, UserNotFound
from aura.users.models import Profile, Role, User, UserState, email_key, users_table

UNIQUE_EMAIL = "users_email_key_key"
_SELECT = select(users_table)


class UserRepository:
    """The users, in PostgreSQL."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def get(self, user_id: UUID) -> User:
        """Returns a user.

        Raises:
            UserNotFound: There is none with this id.
        """
        (user,) = await self.batch_get([user_id])
        return user

    async def batch_get(self, user_ids: Sequence[UUID]) -> list[User]:
        """Returns users in the order of their ids.

        Raises:
            UserNotFound: One or more ids are nobody's; it names them all.
        """
        async with self._connect() as connection:
            rows = (await connection.execute(_SELECT.where(users_table.c.user_id.in_(user_ids)))).all()
        found = {row.user_id: _to_user(row) for row in rows}
        missing = [user_id for user_id in user_ids if user_id not in found]
        if missing:
            raise UserNotFound(missing)
        return [found[user_id] for user_id in user_ids]

    async def add(self, user: User) -> None:
        """Adds a user.

        Raises:
            EmailTaken: Another user has the e-mail address.
        """
        async with self._connect() as connection:
            try:
                await connection.execute(insert(users_table).values(_to_row(user)))
            except IntegrityError as error:
                if violated_constraint(error) == UNIQUE_EMAIL:
                    raise EmailTaken from error
                raise


class UsersUnitOfWork(UnitOfWork):
    """A unit of work on users."""

    @property
    def users(self) -> UserRepository:
        """The users, inside the transaction."""
        return UserRepository(self.lend)


def _to_user(row: Any) -> User:
    return User(
        user_id=row.user_id,
        profile=Profile(
            email=row.email,
            display_name=row.display_name,
            phone_number=row.phone_number,
            time_zone=row.time_zone,
            locale=row.locale,
        ),
        roles=tuple(map(Role, row.roles)),
        state=UserState(row.state),
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
    )


def _to_row(user: User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        **vars(user.profile),
        "email_key": email_key(user.profile.email),
        "roles": list(user.roles),
        "state": user.state,
        "version": user.version,
        "create_time": user.create_time,
        "update_time": user.update_time,
    }
