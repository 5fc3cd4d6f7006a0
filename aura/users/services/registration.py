"""How accounts come to be, and how a lost password is replaced."""

from __future__ import annotations

import secrets
from uuid import UUID

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.clock import Clock
from aura.kernel.security.actor import LOCAL_ACTOR_ID
from aura.users.errors import AdminExists, CodeInvalid, EmailTaken
from aura.users.events import event_of
from aura.users.models.codes import REGISTRATION_LIFETIME, RESET_LIFETIME, Registration, hash_of, new_code
from aura.users.models.mail import AccountMail, MailKind
from aura.users.models.passwords import require_good
from aura.users.models.user import Change, ChangeKind, Profile, Role, User, given_email, normalized_email
from aura.users.repositories.accounts import AccountRepository
from aura.users.repositories.codes import CodeRepository
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.services.mailing import MailQueue
from aura.users.services.password_hasher import PasswordHasher
from aura.users.services.throttle import Counted, Throttle

PASSWORD_BYTES = 18


class RegistrationService:
    """Creates accounts, and sets new passwords for those who own the address of one."""

    def __init__(
        self,
        *,
        unit_of_work: UsersUnitOfWork,
        accounts: AccountRepository,
        codes: CodeRepository,
        hasher: PasswordHasher,
        throttle: Throttle,
        mail_queue: MailQueue,
        audit_trail: AuditTrail,
        clock: Clock,
    ) -> None:
        self._audit_trail = audit_trail
        self._unit_of_work = unit_of_work
        self._accounts = accounts
        self._codes = codes
        self._hasher = hasher
        self._throttle = throttle
        self._mail_queue = mail_queue
        self._clock = clock

    async def register(self, *, email: str, password: str, display_name: str) -> None:
        """Notes that somebody asks for an account, and sends them a code. Whether there is one makes no difference.

        Raises:
            EmailInvalid: The address is none.
            PasswordRefused: The password may not be used.
            TooManyAttempts: The source asks for too much.
            TooManyLogins: Too many passwords wait to be hashed.
        """
        await self._throttle.require_source()
        address = normalized_email(email, field="email")
        require_good(password, field="password", email=address, display_name=display_name)
        code, password_hash = new_code(), await self._hasher.hash(password)
        registration = Registration(
            email=address,
            display_name=display_name,
            password_hash=password_hash,
            code_hash=hash_of(code),
            expire_time=self._clock.now() + REGISTRATION_LIFETIME,
        )
        may_mail = await self._throttle.may_mail(address, Counted.VERIFICATION_MAILS)
        async with self._unit_of_work as work:
            if may_mail:
                await work.codes.add_registration(registration)
                mail = AccountMail(kind=MailKind.VERIFY_EMAIL, email=address, code=code)
                await self._mail_queue.put(work, mail, lifetime=REGISTRATION_LIFETIME)
            await work.commit()

    async def verify_email(self, *, email: str, code: str, password: str) -> UUID:
        """Creates the account that was asked for; returns the user's id.

        The code says that the address is the caller's, the password that it was the caller who asked: others may have
        asked for an account with this address, and a password of theirs.

        Raises:
            CodeInvalid: The code is not good, or was tried too often; or the password is another one.
            TooManyAttempts, TooManyLogins: As `register`.
        """
        email = given_email(email)
        async with self._throttle.attempt(email, Counted.MAILED_CODES) as is_admitted:
            asked_for = await self._codes.registration(email, hash_of(code), self._clock.now())
            usable = asked_for if is_admitted else None
            matches = await self._hasher.verify(usable.password_hash if usable else "", password)
            user = await self._register(usable) if usable and matches else None
        if user is None:
            await self._refused("", "code" if is_admitted else "locked")
            raise CodeInvalid
        await self._throttle.succeeded(email, Counted.MAILED_CODES)
        return user.user_id

    async def request_reset(self, email: str) -> None:
        """Sends a code for a new password, if the address has an account; what is done here is the same if not.

        Raises:
            TooManyAttempts: The source asks for too much.
        """
        email = given_email(email)
        await self._throttle.require_source()
        may_mail = await self._throttle.may_mail(email, Counted.RESET_MAILS)
        code = new_code()
        async with self._unit_of_work as work:
            if may_mail:
                await work.codes.save_reset_code(email, hash_of(code), self._clock.now() + RESET_LIFETIME)
                mail = AccountMail(kind=MailKind.RESET_PASSWORD, email=email, code=code)
                await self._mail_queue.put(work, mail, lifetime=RESET_LIFETIME)
            await work.commit()

    async def reset(self, *, email: str, code: str, new_password: str) -> None:
        """Sets a new password, and ends all sessions.

        Raises:
            CodeInvalid: The code is not good, or was tried too often.
            PasswordRefused: The new password may not be used; the code stays good.
            TooManyAttempts, TooManyLogins: As `register`; the code stays good.
        """
        email = given_email(email)
        async with self._throttle.attempt(email, Counted.MAILED_CODES) as is_admitted:
            now, code_hash = self._clock.now(), hash_of(code)
            account = await self._accounts.by_email(email)
            is_good = await self._codes.has_reset_code(email, code_hash, now)
            if account is None or not account.active or not is_good or not is_admitted:
                await self._refused(str(account.user_id) if account else "", "code" if is_admitted else "locked")
                raise CodeInvalid
            require_good(new_password, field="new_password", email=account.email, display_name=account.display_name)
            password_hash = await self._hasher.hash(new_password)
        async with self._unit_of_work as work:
            still = await work.accounts.by_user_for_update(account.user_id)  # a login waits, or is seen here
            if still is None or not still.active or not await work.codes.take_reset_code(email, code_hash, now):
                raise CodeInvalid
            await work.accounts.set_password(account.user_id, password_hash, now)
            await work.login_sessions.end_all(account.user_id, now, "PASSWORD_RESET")
            work.access_changed(account.user_id)
            await self._mail_queue.put(work, AccountMail(kind=MailKind.PASSWORD_CHANGED, email=account.email))
            work.audit(AuditEntry(action="password.reset", subject=str(account.user_id)))
            await work.commit()
        await self._throttle.succeeded(email, Counted.MAILED_CODES)
        await self._throttle.succeeded(email)  # who was locked out for a forgotten password gets in with the new one

    async def create(
        self, *, email: str, display_name: str, roles: tuple[Role, ...], password: str, only_first_admin: bool
    ) -> tuple[UUID, str]:
        """Creates an account without mail; returns the user's id, and the password if one was made up.

        Raises:
            EmailInvalid, PasswordRefused: Address or password are wrong.
            EmailTaken: Another user has the address.
            AdminExists: There is an admin, and `only_first_admin` holds.
        """
        if only_first_admin and await self._accounts.has_admin():
            raise AdminExists
        address = normalized_email(email, field="email")
        made_up = "" if password else secrets.token_urlsafe(PASSWORD_BYTES)
        if password:
            require_good(password, field="password", email=address, display_name=display_name)
        password_hash = await self._hasher.hash(password or made_up)
        async with self._unit_of_work as work:
            profile = _profile(address, display_name)
            user = await self._add_user(work, profile, roles, password_hash, actor=LOCAL_ACTOR_ID)
            work.audit(AuditEntry(action="account.created", subject=str(user.user_id)))
            await work.commit()
        return user.user_id, made_up

    async def _register(self, asked_for: Registration) -> User | None:
        """Creates the account that was asked for; returns None if the address has got one meanwhile."""
        async with self._unit_of_work as work:
            if not await work.codes.forget_registrations(asked_for.email):
                return None
            try:
                profile = _profile(asked_for.email, asked_for.display_name)
                user = await self._add_user(work, profile, (Role.PATIENT,), asked_for.password_hash)
            except EmailTaken:
                return None
            work.audit(AuditEntry(action="account.registered", subject=str(user.user_id)))
            await work.commit()
        return user

    async def _refused(self, user_id: str, why: str) -> None:
        await self._audit_trail.write_alone(AuditEntry(action="code.refused", subject=user_id, details={"why": why}))

    async def _add_user(
        self,
        work: UsersUnitOfWork,
        profile: Profile,
        roles: tuple[Role, ...],
        password_hash: str,
        *,
        actor: str = "",
    ) -> User:
        """Adds a user, who makes the account themselves unless an `actor` is named."""
        now = self._clock.now()
        user = User.new(profile=profile, roles=roles, now=now)
        change = Change(kind=ChangeKind.CREATED, actor=actor or str(user.user_id), occur_time=now)
        await work.users.add(user, change)
        await work.accounts.set_password(user.user_id, password_hash, now)
        if (event := event_of(user, change)) is not None:
            work.publish(event)
        return user


def _profile(email: str, display_name: str) -> Profile:
    return Profile.parse(email=email, display_name=display_name, phone_number="", time_zone="", locale="")
