"""Reads and writes users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Text,
    Update,
    bindparam,
    insert,
    literal,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.types import TypeEngine

from aura.kernel.database import Execute, violated_constraint
from aura.kernel.pagination import Position
from aura.kernel.query import Query
from aura.users.errors import EmailTaken, LastAdmin, UserNotFound
from aura.users.models.user import (
    Change,
    Profile,
    Role,
    User,
    UserState,
    search_key,
    user_changes_table,
    users_table,
)

UNIQUE_EMAIL = "users_email_key_key"
LAST_CHARACTER = "\U0010ffff"
_SELECT = select(users_table)
_BY_ID = _SELECT.where(users_table.c.user_id == bindparam("user_id"))
_GET = Query(_BY_ID)
_GET_FOR_UPDATE = _BY_ID.with_for_update()
_ADD = insert(users_table)
_SAVE = update(users_table)
_ADD_CHANGE = insert(user_changes_table)
_LOCK_ADMINS = text("SELECT pg_advisory_xact_lock(hashtextextended('users/admins', 0))")


class UserOrder(Enum):
    """In which order users are listed; each has an index."""

    CREATE_TIME = "create_time"
    CREATE_TIME_DESCENDING = "create_time descending"
    DISPLAY_NAME = "name_key"
    EMAIL = "email_key"

    @property
    def keys(self) -> tuple[str, str]:
        """The columns sorted by; the last makes the order total."""
        return self.value.split()[0], "user_id"

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return self is UserOrder.CREATE_TIME_DESCENDING

    def position(self, user: User) -> Position:
        """Returns where a page ends that this user is the last on."""
        row = _to_row(user)
        return [row[key].isoformat() if isinstance(row[key], datetime) else str(row[key]) for key in self.keys]

    def parsed(self, position: Position) -> tuple[datetime | str, UUID]:
        """Returns the sort keys that a position holds."""
        key, user_id = position
        return datetime.fromisoformat(key) if self.keys[0] == "create_time" else key, UUID(user_id)


@dataclass(frozen=True, kw_only=True)
class UserQuery:
    """Which users to list; what is not set does not limit."""

    role: Role | None = None
    display_name_prefix: str = ""
    email_prefix: str = ""
    state: UserState | None = None
    order: UserOrder = UserOrder.CREATE_TIME


class UserRepository:
    """The users, in PostgreSQL."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def get(self, user_id: UUID) -> User:
        """Returns a user.

        Raises:
            UserNotFound: There is none with this id.
        """
        rows = await self._execute(_GET, {"user_id": user_id})
        if not rows:
            raise UserNotFound([user_id])
        return _to_user(rows[0])

    async def require_other_admin(self, user_id: UUID) -> None:
        """Sees that somebody else is an active admin, and stays so until the unit of work ends.

        Raises:
            LastAdmin: Nobody is.
        """
        await self._execute(_LOCK_ADMINS)  # two admins who remove each other come one after the other
        others = _SELECT.where(
            users_table.c.roles.contains([Role.ADMIN]),
            users_table.c.state == UserState.ACTIVE,
            users_table.c.user_id != user_id,
        )
        if not await self._execute(others.limit(1)):
            raise LastAdmin

    async def batch_get(self, user_ids: Sequence[UUID]) -> list[User]:
        """Returns users in the order of their ids.

        Raises:
            UserNotFound: One or more ids are nobody's; it names them all.
        """
        rows = await self._execute(_SELECT.where(users_table.c.user_id.in_(user_ids)))
        found = {row.user_id: _to_user(row) for row in rows}
        missing = [user_id for user_id in user_ids if user_id not in found]
        if missing:
            raise UserNotFound(missing)
        return [found[user_id] for user_id in user_ids]

    async def list(self, query: UserQuery, *, after: Position | None, limit: int) -> Sequence[User]:
        """Returns up to `limit` users behind the position `after`, in the query's order."""
        keys = [users_table.c[name] for name in query.order.keys]
        statement = _SELECT.where(*_conditions(query)).limit(limit)
        if query.order.descending:
            statement = statement.order_by(*(key.desc() for key in keys))
        else:
            statement = statement.order_by(*keys)
        if after is not None:
            end = tuple_(
                *(literal(value, key.type) for key, value in zip(keys, query.order.parsed(after), strict=True))
            )
            statement = statement.where(tuple_(*keys) < end if query.order.descending else tuple_(*keys) > end)
        return [_to_user(row) for row in await self._execute(statement)]

    async def get_for_update(self, user_id: UUID) -> User:
        """Returns a user, and keeps others from changing them until the unit of work ends.

        Raises:
            UserNotFound: There is none with this id.
        """
        rows = await self._execute(_GET_FOR_UPDATE, {"user_id": user_id})
        if not rows:
            raise UserNotFound([user_id])
        return _to_user(rows[0])

    async def add(self, user: User, change: Change) -> None:
        """Adds a user, and the beginning of their history.

        Raises:
            EmailTaken: Another user has the e-mail address.
        """
        await self._write(_ADD, user, change)

    async def save(self, user: User, change: Change) -> None:
        """Stores a changed user, and adds the change to their history.

        Raises:
            EmailTaken: Another user has the e-mail address.
        """
        await self._write(_SAVE.where(users_table.c.user_id == user.user_id), user, change)

    async def _write(self, statement: Insert | Update, user: User, change: Change) -> None:
        try:
            await self._execute(statement, _to_row(user))
        except IntegrityError as error:
            if violated_constraint(error) == UNIQUE_EMAIL:
                raise EmailTaken from error
            raise
        await self._execute(_ADD_CHANGE, {"user_id": user.user_id, "version": user.version, **vars(change)})


def _conditions(query: UserQuery) -> Iterator[ColumnElement[bool]]:
    if query.role is not None:
        yield users_table.c.roles.contains([query.role])
    if query.state is not None:
        yield users_table.c.state == query.state
    if query.display_name_prefix:
        yield _begins_with(users_table.c.name_key, query.display_name_prefix)
    if query.email_prefix:
        yield _begins_with(users_table.c.email_key, query.email_prefix)


def _begins_with(key: Column[str], prefix: str) -> ColumnElement[bool]:
    """Compares by range rather than by pattern: an index serves it, and no character is special."""
    begin = search_key(prefix)
    return key.between(literal(begin, Text), literal(begin + LAST_CHARACTER, Text))


def _type_of(key: Column[Any]) -> TypeEngine[Any]:
    """Returns a sort key's type; a collation goes with the column, not with what it is compared to."""
    return Text() if isinstance(key.type, Text) else key.type


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
        "email_key": search_key(user.profile.email),
        "name_key": search_key(user.profile.display_name),
        "roles": list(user.roles),
        "state": user.state,
        "version": user.version,
        "create_time": user.create_time,
        "update_time": user.update_time,
    }
