"""Has a user who is logged in prove again who they are, before something that matters (OWASP ASVS 5.0, 7.5.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.security.actor import Actor
from aura.users.errors import CredentialsInvalid, SignInRequired
from aura.users.models.account import Credentials
from aura.users.repositories.accounts import AccountRepository
from aura.users.services.password_hasher import PasswordHasher
from aura.users.services.throttle import Throttle


class Reauthentication:
    """Knows who is logged in, and asks them for more."""

    def __init__(
        self,
        *,
        accounts: AccountRepository,
        hasher: PasswordHasher,
        throttle: Throttle,
        audit_trail: AuditTrail,
        actor: Actor,
    ) -> None:
        self._accounts = accounts
        self._hasher = hasher
        self._throttle = throttle
        self._audit_trail = audit_trail
        self._actor = actor

    @property
    def session_id(self) -> UUID:
        """The login session that the call belongs to.

        Raises:
            SignInRequired: It belongs to none.
        """
        if not self._actor.session_id:
            raise SignInRequired
        return UUID(self._actor.session_id)

    async def account(self) -> Credentials:
        """Returns the account of the user who is logged in.

        Raises:
            SignInRequired: Nobody is.
        """
        account = await self._accounts.by_user(UUID(self._actor.user_id)) if self.session_id else None
        if account is None or not account.active:
            raise SignInRequired
        return account

    async def by_password(self, password: str) -> Credentials:
        """Returns the account of the user who is logged in, and knows the password.

        Raises:
            SignInRequired: Nobody is logged in.
            CredentialsInvalid: The password is wrong, or was tried too often.
        """
        account = await self.account()
        async with self._throttle.attempt(account.email) as is_admitted:
            matches = await self._hasher.verify(account.password_hash if is_admitted else "", password)
        if not matches:
            await self._failed(account, "password" if is_admitted else "locked")
            raise CredentialsInvalid
        if account.totp_enabled:  # a password alone does not clear the way for guessing codes
            await self._throttle.take_back(account.email)
        else:
            await self._throttle.succeeded(account.email)
        return account

    @asynccontextmanager
    async def attempt(self, account: Credentials) -> AsyncIterator[None]:
        """Counts what is done inside as an attempt at an account; it has succeeded unless it raises.

        Raises:
            CredentialsInvalid: It was one too many; or the attempt failed, which has raised this.
        """
        async with self._throttle.attempt(account.email) as is_admitted:
            if not is_admitted:
                await self._failed(account, "locked")
                raise CredentialsInvalid
            try:
                yield
            except CredentialsInvalid:
                await self._failed(account, "code")
                raise
        await self._throttle.succeeded(account.email)

    async def _failed(self, account: Credentials, why: str) -> None:
        entry = AuditEntry(action="reauthentication.failed", subject=str(account.user_id), details={"why": why})
        await self._audit_trail.write_alone(entry)
