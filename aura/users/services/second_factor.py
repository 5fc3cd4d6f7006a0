"""Authenticator apps (TOTP, RFC 6238), and the recovery codes for when one is lost."""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from secrets import token_bytes
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from aura.kernel.audit import AuditEntry
from aura.kernel.clock import Clock
from aura.kernel.security.module_secrets import ModuleSecrets
from aura.kernel.security.sealing import SealBroken
from aura.users.errors import CredentialsInvalid, TotpEnabled, TotpNotEnrolled
from aura.users.models.account import Credentials
from aura.users.models.codes import hash_of, new_recovery_codes
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.services.reauthentication import Reauthentication

DIGITS, STEP_SECONDS, SECRET_BYTES = 6, 30, 20
DRIFT_STEPS = 1
"""How many steps a phone's clock may be off."""
ISSUER = "Aura"

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """What is put into an authenticator app."""

    secret: str
    uri: str


class SecondFactors:
    """Tells whether a code is good, and uses it up."""

    def __init__(self, *, secrets: ModuleSecrets, clock: Clock) -> None:
        self._sealer = secrets.sealer("totp")
        self._clock = clock

    def new_secret(self, user_id: UUID) -> tuple[bytes, bytes]:
        """Returns a new secret, and the same as it is stored."""
        secret = token_bytes(SECRET_BYTES)
        return secret, self._sealer.seal(secret, context=user_id.bytes)

    def step_of(self, account: Credentials, code: str) -> int | None:
        """Returns the time step that a code is of; None if it is of none near now."""
        if account.sealed_totp_secret is None or not re.fullmatch(rf"[0-9]{{{DIGITS}}}", code, re.ASCII):
            return None
        try:
            totp = app(self._sealer.open(account.sealed_totp_secret, context=account.user_id.bytes))
        except SealBroken:
            log.exception("the secret of an authenticator app cannot be opened", user_id=str(account.user_id))
            return None
        now = int(self._clock.now().timestamp()) // STEP_SECONDS
        found = None
        for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
            if hmac.compare_digest(totp.generate(step * STEP_SECONDS), code.encode()):
                found = step
        return found

    async def use(self, work: UsersUnitOfWork, account: Credentials, code: str) -> bool:
        """Uses up a code of the app, or a recovery code; returns False if it is not good, or was used before."""
        step = self.step_of(account, code)
        if step is not None:
            return await work.accounts.use_totp_step(account.user_id, step)
        return await work.accounts.use_recovery_code(account.user_id, hash_of(code))


class SecondFactorService:
    """Sets up and does without authenticator apps."""

    def __init__(
        self,
        *,
        unit_of_work: UsersUnitOfWork,
        reauthentication: Reauthentication,
        second_factors: SecondFactors,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._reauthentication = reauthentication
        self._second_factors = second_factors

    async def enroll(self, password: str) -> Enrolment:
        """Begins to set up an app for the user who calls.

        Raises:
            SignInRequired: Nobody is logged in.
            CredentialsInvalid: The password is wrong, or was tried too often.
            TotpEnabled: There is one.
        """
        account = await self._reauthentication.by_password(password)
        if account.totp_enabled:
            raise TotpEnabled
        secret, sealed = self._second_factors.new_secret(account.user_id)
        async with self._unit_of_work as work:
            still = await work.accounts.by_user_for_update(account.user_id)
            if still is None or still.totp_enabled:
                raise TotpEnabled
            await work.accounts.set_totp(account.user_id, sealed_secret=sealed, enabled=False, step=0)
            await work.commit()
        uri = app(secret).get_provisioning_uri(account.email, ISSUER)
        return Enrolment(secret=base64.b32encode(secret).decode(), uri=uri)

    async def confirm(self, code: str) -> list[str]:
        """Completes the set-up; returns the recovery codes.

        Raises:
            SignInRequired: Nobody is logged in.
            CredentialsInvalid: The code is wrong, or codes were tried too often.
            TotpNotEnrolled, TotpEnabled: There is nothing to complete.
        """
        account = await self._reauthentication.account()
        if account.totp_enabled:
            raise TotpEnabled
        if account.sealed_totp_secret is None:
            raise TotpNotEnrolled
        async with self._reauthentication.attempt(account):
            step = self._second_factors.step_of(account, code)
            if step is None:
                raise CredentialsInvalid
        codes = new_recovery_codes()
        async with self._unit_of_work as work:
            still = await work.accounts.by_user_for_update(account.user_id)
            if still is None or still.totp_enabled or not still.active:
                raise TotpEnabled
            if still.sealed_totp_secret != account.sealed_totp_secret:
                raise TotpNotEnrolled  # the set-up was begun again meanwhile
            await work.accounts.set_totp(
                account.user_id, sealed_secret=account.sealed_totp_secret, enabled=True, step=step
            )
            await work.accounts.set_recovery_codes(account.user_id, list(map(hash_of, codes)))
            work.audit(AuditEntry(action="totp.enabled", subject=str(account.user_id)))
            await work.commit()
        return codes

    async def disable(self, password: str, code: str) -> None:
        """Does without the app again.

        Raises:
            SignInRequired: Nobody is logged in.
            CredentialsInvalid: Password or code is wrong, or they were tried too often.
            TotpNotEnrolled: There is none.
        """
        account = await self._reauthentication.by_password(password)
        if not account.totp_enabled:
            raise TotpNotEnrolled
        async with self._reauthentication.attempt(account), self._unit_of_work as work:
            if not await self._second_factors.use(work, account, code):
                raise CredentialsInvalid
            await work.accounts.set_totp(account.user_id, sealed_secret=None, enabled=False, step=0)
            await work.accounts.set_recovery_codes(account.user_id, [])
            work.audit(AuditEntry(action="totp.disabled", subject=str(account.user_id)))
            await work.commit()


def app(secret: bytes) -> TOTP:
    """Returns what an authenticator app with a secret does."""
    return TOTP(secret, DIGITS, SHA1(), STEP_SECONDS, enforce_key_length=False)  # noqa: S303 what all apps take
