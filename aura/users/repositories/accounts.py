"""Reads and writes how users prove who they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Text, bindparam, delete, exists, false, func, insert, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from aura.kernel.database import Execute
from aura.kernel.query import Query
from aura.users.models.account import Credentials, credentials_table, recovery_codes_table
from aura.users.models.user import Role, UserState, search_key, users_table

_CREDENTIALS = credentials_table.c
_SELECT = select(
    users_table.c.user_id,
    users_table.c.email,
    users_table.c.display_name,
    users_table.c.roles,
    users_table.c.state,
    func.coalesce(_CREDENTIALS.password_hash, literal_column("''", Text)).label("password_hash"),
    _CREDENTIALS.password_time,
    _CREDENTIALS.sealed_totp_secret,
    func.coalesce(_CREDENTIALS.totp_enabled, false()).label("totp_enabled"),
    func.coalesce(_CREDENTIALS.totp_step, literal_column("0", Integer)).label("totp_step"),
).select_from(users_table.outerjoin(credentials_table, _CREDENTIALS.user_id == users_table.c.user_id))
_BY_EMAIL = Query(_SELECT.where(users_table.c.email_key == bindparam("email_key")))
_BY_USER = Query(_SELECT.where(users_table.c.user_id == bindparam("user_id")))
_LOCK_USER = select(users_table.c.user_id).where(users_table.c.user_id == bindparam("user_id")).with_for_update()


class AccountRepository:
    """The accounts, in PostgreSQL."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def by_email(self, email: str) -> Credentials | None:
        """Returns the credentials of the user with an address; None if there is none."""
        rows = await self._execute(_BY_EMAIL, {"email_key": search_key(email)})
        return _to_credentials(rows[0]) if rows else None

    async def by_user(self, user_id: UUID) -> Credentials | None:
        """Returns a user's credentials; None if there is no such user."""
        rows = await self._execute(_BY_USER, {"user_id": user_id})
        return _to_credentials(rows[0]) if rows else None

    async def by_user_for_update(self, user_id: UUID) -> Credentials | None:
        """Returns the same, and keeps others from changing the user until the unit of work ends."""
        await self._execute(_LOCK_USER, {"user_id": user_id})
        # In a statement of its own: one that waits for the lock sees of joined rows what they were before it waited.
        return await self.by_user(user_id)

    async def set_password(self, user_id: UUID, password_hash: str, now: datetime) -> None:
        """Stores a password."""
        statement = upsert(credentials_table).values(
            user_id=user_id, password_hash=password_hash, password_time=now, totp_enabled=False, totp_step=0
        )
        changed = {"password_hash": password_hash, "password_time": now}
        await self._execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=changed))

    async def rehash(self, user_id: UUID, old: str, new: str) -> None:
        """Stores the same password hashed with other parameters, unless it has been changed meanwhile."""
        statement = update(credentials_table).where(_CREDENTIALS.user_id == user_id, _CREDENTIALS.password_hash == old)
        await self._execute(statement.values(password_hash=new))

    async def set_totp(self, user_id: UUID, *, sealed_secret: bytes | None, enabled: bool, step: int) -> None:
        """Stores what the authenticator app shares, or that there is none."""
        statement = update(credentials_table).where(_CREDENTIALS.user_id == user_id)
        await self._execute(statement.values(sealed_totp_secret=sealed_secret, totp_enabled=enabled, totp_step=step))

    async def use_totp_step(self, user_id: UUID, step: int) -> bool:
        """Notes that the code of a time step was used; returns False if it, or a later one, was before."""
        statement = (
            update(credentials_table)
            .where(_CREDENTIALS.user_id == user_id, _CREDENTIALS.totp_step < step)
            .values(totp_step=step)
            .returning(_CREDENTIALS.user_id)
        )
        return bool(await self._execute(statement))

    async def set_recovery_codes(self, user_id: UUID, hashes: Sequence[bytes]) -> None:
        """Stores recovery codes in place of those that were there."""
        await self._execute(delete(recovery_codes_table).where(recovery_codes_table.c.user_id == user_id))
        for each in hashes:
            await self._execute(insert(recovery_codes_table).values(user_id=user_id, code_hash=each))

    async def use_recovery_code(self, user_id: UUID, code_hash: bytes) -> bool:
        """Forgets a recovery code; returns False if it was none."""
        table = recovery_codes_table
        statement = delete(table).where(table.c.user_id == user_id, table.c.code_hash == code_hash)
        return bool(await self._execute(statement.returning(table.c.user_id)))

    async def has_admin(self) -> bool:
        """Returns whether anybody is an admin."""
        found = select(exists().where(users_table.c.roles.contains([Role.ADMIN])).label("found"))
        return bool((await self._execute(found))[0].found)


def _to_credentials(row: Any) -> Credentials:
    return Credentials(
        user_id=row.user_id,
        email=row.email,
        display_name=row.display_name,
        roles=tuple(map(Role, row.roles)),
        state=UserState(row.state),
        password_hash=row.password_hash,
        password_time=row.password_time,
        sealed_totp_secret=row.sealed_totp_secret,
        totp_enabled=row.totp_enabled,
        totp_step=row.totp_step,
    )
