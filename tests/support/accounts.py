"""Accounts whose passwords tests know."""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

import argon2
import asyncpg
from dishka import Provider, Scope

from aura.kernel.database import sync_url
from aura.users.models.mail import AccountMail
from aura.users.services.account_mailer import AccountMailer
from aura.users.services.second_factor import app

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


class FakeMailer:
    """Keeps messages instead of sending them."""

    def __init__(self) -> None:
        self.sent: list[AccountMail] = []

    async def send(self, mail_id: UUID, mail: AccountMail) -> None:  # noqa: ARG002 the port has it
        self.sent.append(mail)

    def code(self, email: str) -> str:
        """The last code that was sent to an address."""
        return next(mail.code for mail in reversed(self.sent) if mail.email == email and mail.code)

    def providers(self) -> dict[str, list[Provider]]:
        """What a host takes as `overrides`."""
        provider = Provider(scope=Scope.APP)
        provider.provide(lambda: self, provides=AccountMailer)
        return {"users": [provider]}


async def audited(url: Any, module: str = "users") -> list[tuple[str, str, dict[str, str]]]:
    """What a module's audit trail says: action, subject and details, the oldest first."""
    connection = await asyncpg.connect(sync_url(url))
    try:
        rows = await connection.fetch(f"SELECT action, subject, details FROM {module}.audit ORDER BY audit_id")
    finally:
        await connection.close()
    return [(row["action"], row["subject"], json.loads(row["details"])) for row in rows]


def codes_of(secret: str, at: float) -> str:
    """What an authenticator app with a secret, in base32, shows at a time in seconds since 1970."""
    return app(base64.b32decode(secret)).generate(int(at)).decode()
