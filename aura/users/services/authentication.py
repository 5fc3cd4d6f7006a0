"""Logging in and out, and what keeps a login session going."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.clock import Clock
from aura.kernel.ids import new_id
from aura.kernel.security.actor import Actor
from aura.users.errors import (
    CredentialsInvalid,
    LoginSessionNotFound,
    RefreshTokenInvalid,
    SecondFactorRequired,
    TooManyLogins,
)
from aura.users.models.account import Credentials
from aura.users.models.login_session import LONGEST_USER_AGENT, LoginSession, RefreshToken, limits_of
from aura.users.models.mail import AccountMail, MailKind
from aura.users.models.passwords import require_good
from aura.users.models.user import given_email
from aura.users.repositories.accounts import AccountRepository
from aura.users.repositories.login_sessions import LoginSessionRepository
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.services.mailing import MailQueue
from aura.users.services.password_hasher import PasswordHasher
from aura.users.services.reauthentication import Reauthentication
from aura.users.services.second_factor import SecondFactors
from aura.users.services.throttle import Throttle
from aura.users.services.tokens import TokenIssuer, Tokens

SALT_BYTES = 16


class Authentication:
    """Begins login sessions, and keeps them going."""

    def __init__(
        self,
        *,
        unit_of_work: UsersUnitOfWork,
        accounts: AccountRepository,
        hasher: PasswordHasher,
        throttle: Throttle,
        second_factors: SecondFactors,
        reauthentication: Reauthentication,
        tokens: TokenIssuer,
        mail_queue: MailQueue,
        audit_trail: AuditTrail,
        clock: Clock,
        actor: Actor,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._accounts = accounts
        self._hasher = hasher
        self._throttle = throttle
        self._second_factors = second_factors
        self._reauthentication = reauthentication
        self._tokens = tokens
        self._mail_queue = mail_queue
        self._audit_trail = audit_trail
        self._clock = clock
        self._actor = actor

    async def login(self, *, email: str, password: str, code: str, user_agent: str) -> Tokens:
        """Begins a session. It takes as long, and does as much, whatever is wrong.

        Raises:
            CredentialsInvalid: They are wrong, the account unknown, locked or out of use.
            SecondFactorRequired: They are right, but a code must go with them.
            TooManyAttempts: The source is locked out.
            TooManyLogins: Too many passwords wait to be checked.
        """
        email = given_email(email)
        async with self._throttle.attempt(email) as is_admitted:
            account = await self._accounts.by_email(email)
            usable = account if is_admitted and account is not None and account.active else None
            matches = await self._hasher.verify(usable.password_hash if usable else "", password)
        if usable is None or not matches:
            await self._refused(account, "credentials" if is_admitted else "locked")
            raise CredentialsInvalid
        if usable.totp_enabled and not code:
            await self._refused(usable, "code missing")
            raise SecondFactorRequired
        session = await self._begin_checked(usable, code, user_agent)
        await self._throttle.succeeded(email)
        if self._hasher.is_outdated(usable.password_hash):
            with suppress(TooManyLogins):  # the next login does it
                await self._accounts.rehash(usable.user_id, usable.password_hash, await self._hasher.hash(password))
        return await self._tokens.for_session(session)

    async def refresh(self, text: str) -> Tokens:
        """Exchanges a refresh token.

        Raises:
            RefreshTokenInvalid: It is good for nothing. If it was used before, and not just now, its session has ended.
        """
        token, now = RefreshToken.parse(text), self._clock.now()
        async with self._unit_of_work as work:
            session = await work.login_sessions.get_for_update(token.session_id)
            if session is None or not self._tokens.refresh_tokens.is_genuine(token, session):
                raise RefreshTokenInvalid
            if not session.is_live(now):
                raise RefreshTokenInvalid
            if token.generation == session.generation:
                account = await work.accounts.by_user(session.user_id)
                if account is None or not account.active:
                    raise RefreshTokenInvalid
                session = session.rotated(now, limits_of(account.roles).idle)
                await work.login_sessions.save(session)
                await work.commit()
            elif not session.forgives(token.generation, now):
                await work.login_sessions.save(session.ended(now, "REFRESH_TOKEN_REUSED"))
                work.audit(_of_session("refresh_token.reused", session))
                work.access_changed(session.session_id)
                await work.commit()
                raise RefreshTokenInvalid
        return await self._tokens.for_session(session)

    async def logout(self) -> None:
        """Ends the session that the call belongs to.

        Raises:
            SignInRequired: It belongs to none.
        """
        session_id = self._reauthentication.session_id
        await self.end(UUID(self._actor.user_id), session_id)

    async def end(self, user_id: UUID, session_id: UUID) -> None:
        """Ends a user's session; one that has ended stays so.

        Raises:
            LoginSessionNotFound: The user has none with this id.
        """
        async with self._unit_of_work as work:
            session = await work.login_sessions.get_for_update(session_id)
            if session is None or session.user_id != user_id:
                raise LoginSessionNotFound
            if session.end_time is None:
                await work.login_sessions.save(session.ended(self._clock.now(), "ENDED"))
                work.audit(_of_session("login_session.ended", session))
                work.access_changed(session_id)
                await work.commit()

    async def change_password(self, *, current: str, new: str, user_agent: str) -> Tokens:
        """Changes the password of the user who is logged in, ends all their sessions and begins a new one.

        Raises:
            SignInRequired: Nobody is logged in.
            CredentialsInvalid: The current password is wrong, or was tried too often.
            PasswordRefused: The new one may not be used.
        """
        account = await self._reauthentication.by_password(current)
        require_good(new, field="new_password", email=account.email, display_name=account.display_name)
        password_hash, now = await self._hasher.hash(new), self._clock.now()
        async with self._unit_of_work as work:
            still = await work.accounts.by_user_for_update(account.user_id)
            if still is None or not still.active or still.password_time != account.password_time:
                raise CredentialsInvalid
            await work.accounts.set_password(account.user_id, password_hash, now)
            await work.login_sessions.end_all(account.user_id, now, "PASSWORD_CHANGED")
            work.access_changed(account.user_id)
            session = self._new_session(account, user_agent, now)
            await work.login_sessions.add(session)
            await self._mail_queue.put(work, AccountMail(kind=MailKind.PASSWORD_CHANGED, email=account.email))
            work.audit(AuditEntry(action="password.changed", subject=str(account.user_id)))
            await work.commit()
        return await self._tokens.for_session(session)

    async def _begin_checked(self, account: Credentials, code: str, user_agent: str) -> LoginSession:
        """Begins a session for an account whose password was right a moment ago."""
        now = self._clock.now()
        async with self._unit_of_work as work:
            still = await work.accounts.by_user_for_update(account.user_id)
            unchanged = still is not None and still.active and still.password_time == account.password_time
            if still and unchanged and (not still.totp_enabled or await self._second_factors.use(work, still, code)):
                session = self._new_session(still, user_agent, now)
                await work.login_sessions.add(session)
                await work.login_sessions.end_surplus(account.user_id, now)
                work.audit(_of_session("login.succeeded", session))
                await work.commit()
                return session
        await self._refused(account, "code" if unchanged else "changed")
        raise CredentialsInvalid

    def _new_session(self, account: Credentials, user_agent: str, now: datetime) -> LoginSession:
        limits = limits_of(account.roles)
        return LoginSession(
            session_id=new_id(),
            user_id=account.user_id,
            salt=secrets.token_bytes(SALT_BYTES),
            generation=0,
            rotate_time=now,
            create_time=now,
            idle_expire_time=now + limits.idle,
            expire_time=now + limits.absolute,
            source=self._actor.source,
            user_agent=user_agent[:LONGEST_USER_AGENT],
        )

    async def _refused(self, account: Credentials | None, why: str) -> None:
        subject = str(account.user_id) if account else ""
        await self._audit_trail.write_alone(AuditEntry(action="login.failed", subject=subject, details={"why": why}))


class LoginSessions:
    """Shows the login sessions of users."""

    def __init__(self, *, sessions: LoginSessionRepository, clock: Clock, actor: Actor) -> None:
        self._sessions = sessions
        self._clock = clock
        self._actor = actor

    async def of_user(self, user_id: UUID) -> list[LoginSession]:
        """Returns a user's live sessions, the newest first."""
        return await self._sessions.live_of(user_id, self._clock.now())

    def is_current(self, session: LoginSession) -> bool:
        """Returns whether a session is the one that the call belongs to."""
        return str(session.session_id) == self._actor.session_id


def _of_session(action: str, session: LoginSession) -> AuditEntry:
    return AuditEntry(action=action, subject=str(session.user_id), details={"session_id": str(session.session_id)})
