"""Reads and writes the codes that are sent by mail."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from aura.kernel.database import Execute, fields_of
from aura.users.models.codes import (
    EmailChange,
    Registration,
    email_changes_table,
    registrations_table,
    reset_codes_table,
)
from aura.users.models.user import search_key

_REGISTRATIONS = registrations_table.c
_CHANGES = email_changes_table.c


class CodeRepository:
    """The codes, in PostgreSQL, and what each is good for."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def add_registration(self, registration: Registration) -> None:
        """Stores what was asked for, beside what was asked for before with the same address."""
        await self._execute(
            insert(registrations_table), {"email_key": search_key(registration.email), **vars(registration)}
        )

    async def registration(self, email: str, code_hash: bytes, now: datetime) -> Registration | None:
        """Returns what was asked for with an address and got a code; None if that is nothing."""
        columns = [column for column in registrations_table.columns if column is not _REGISTRATIONS.email_key]
        found = select(*columns).where(
            _REGISTRATIONS.email_key == search_key(email),
            _REGISTRATIONS.code_hash == code_hash,
            _REGISTRATIONS.expire_time > now,
        )
        rows = await self._execute(found)
        return Registration(**fields_of(rows[0])) if rows else None

    async def forget_registrations(self, email: str) -> bool:
        """Deletes what was asked for with an address; returns False if that is nothing."""
        statement = delete(registrations_table).where(_REGISTRATIONS.email_key == search_key(email))
        return bool(await self._execute(statement.returning(_REGISTRATIONS.email_key)))

    async def save_reset_code(self, email: str, code_hash: bytes, expire_time: datetime) -> None:
        """Stores a code, in place of one that was sent before."""
        row = {"email_key": search_key(email), "code_hash": code_hash, "expire_time": expire_time}
        statement = upsert(reset_codes_table).values(row)
        await self._execute(statement.on_conflict_do_update(index_elements=["email_key"], set_=row))

    async def has_reset_code(self, email: str, code_hash: bytes, now: datetime) -> bool:
        """Returns whether a code is good, without using it."""
        return bool(await self._execute(select(reset_codes_table.c.email_key).where(*_good(email, code_hash, now))))

    async def take_reset_code(self, email: str, code_hash: bytes, now: datetime) -> bool:
        """Forgets a code; returns False if it was none."""
        statement = delete(reset_codes_table).where(*_good(email, code_hash, now))
        return bool(await self._execute(statement.returning(reset_codes_table.c.email_key)))

    async def forget_reset_code(self, email: str) -> None:
        """Deletes the code that was sent to an address, if any."""
        await self._execute(delete(reset_codes_table).where(reset_codes_table.c.email_key == search_key(email)))

    async def save_email_change(self, change: EmailChange) -> None:
        """Stores which address a user wants, in place of one that they wanted before."""
        row = vars(change)
        statement = upsert(email_changes_table).values(row)
        await self._execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=row))

    async def take_email_change(self, user_id: UUID, code_hash: bytes, now: datetime) -> str | None:
        """Returns the address that a user wants, and forgets it; None if that is none, or the code wrong."""
        statement = delete(email_changes_table).where(
            _CHANGES.user_id == user_id, _CHANGES.code_hash == code_hash, _CHANGES.expire_time > now
        )
        rows = await self._execute(statement.returning(_CHANGES.email))
        return rows[0].email if rows else None

    async def forget_expired(self, now: datetime) -> None:
        """Deletes the codes that are good for nothing any more."""
        for table in (registrations_table, reset_codes_table, email_changes_table):
            await self._execute(delete(table).where(table.c.expire_time <= now))


def _good(email: str, code_hash: bytes, now: datetime) -> tuple[Any, ...]:
    table = reset_codes_table
    return table.c.email_key == search_key(email), table.c.code_hash == code_hash, table.c.expire_time > now
