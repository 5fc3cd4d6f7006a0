"""Reads and writes the keys that access tokens are signed with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, text, update

from aura.kernel.database import Execute, fields_of
from aura.users.models.signing_key import SigningKey, signing_keys_table

_KEYS = signing_keys_table.c


class SigningKeyRepository:
    """The signing keys, in PostgreSQL."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def published(self, now: datetime) -> list[SigningKey]:
        """Returns the keys that verify tokens now, the newest first."""
        statement = select(signing_keys_table).where(_KEYS.retire_time.is_(None) | (_KEYS.retire_time > now))
        return [_to_key(row) for row in await self._execute(statement.order_by(_KEYS.activate_time.desc()))]

    async def lock(self) -> None:
        """Keeps others from changing keys until the unit of work ends."""
        await self._execute(text("LOCK TABLE users.signing_keys IN SHARE ROW EXCLUSIVE MODE"))

    async def add(self, key: SigningKey) -> None:
        """Adds a key."""
        await self._execute(insert(signing_keys_table), vars(key))

    async def retire_others(self, key_id: str, retire_time: datetime) -> None:
        """Lets all keys but one verify until a time only."""
        statement = update(signing_keys_table).where(_KEYS.key_id != key_id, _KEYS.retire_time.is_(None))
        await self._execute(statement.values(retire_time=retire_time))

    async def forget_retired(self, now: datetime) -> None:
        """Deletes the keys that verify nothing any more."""
        await self._execute(delete(signing_keys_table).where(_KEYS.retire_time <= now))


def _to_key(row: Any) -> SigningKey:
    return SigningKey(**fields_of(row))
