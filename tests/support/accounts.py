"""Accounts whose passwords tests know."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import argon2
import asyncpg

from aura.kernel.database import sync_url

PASSWORD = "a good one for the tests"
QUICK_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def set_password(url: Any, user_id: str, password: str = PASSWORD) -> None:
    """Gives a user a password, hashed in a way that the server has to verify and will replace at the next login."""
    connection = await asyncpg.connect(sync_url(url))
    try:
        await connection.execute(
            """INSERT INTO users.credentials (user_id, password_hash, password_time, totp_enabled, totp_step)
               VALUES ($1, $2, now(), false, 0)
               ON CONFLICT (user_id) DO UPDATE SET password_hash = excluded.password_hash""",
            UUID(user_id),
            QUICK_HASHER.hash(password),
        )
    finally:
        await connection.close()


def bearer(access_token: str) -> list[tuple[str, str]]:
    """The metadata of a call that is made with a token."""
    return [("authorization", f"Bearer {access_token}")]
