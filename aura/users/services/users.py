"""What can be done with users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from aura.kernel.audit import AuditEntry
from aura.kernel.clock import Clock
from aura.kernel.etags import require_etag
from aura.kernel.pagination import Page, Position
from aura.kernel.security.actor import Actor
from aura.users.errors import EmailProofRequired
from aura.users.events import audit_entry_of, event_of
from aura.users.models.login_session import limits_of
from aura.users.models.mail import AccountMail, MailKind
from aura.users.models.user import Change, ChangeKind, Profile, Role, User
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.repositories.users import UserQuery, UserRepository
from aura.users.services.mailing import MailQueue

ENDING_SESSIONS = {ChangeKind.DEACTIVATED, ChangeKind.ROLE_REVOKED}
"""Changes after which a user has to log in again, if they still can."""


class UserService:
    """Creates, finds and changes users."""

    def __init__(
        self,
        *,
        unit_of_work: UsersUnitOfWork,
        users: UserRepository,
        mail_queue: MailQueue,
        clock: Clock,
        actor: Actor,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._users = users
        self._mail_queue = mail_queue
        self._clock = clock
        self._actor = actor

    async def create(self, *, profile: Profile, roles: tuple[Role, ...]) -> User:
        """Creates an active user.

        Raises:
            EmailTaken: Another user has the e-mail address.
        """
        if (known := await self._unit_of_work.replayed()) is not None:
            return await self._users.get(known)
        change = self._change(ChangeKind.CREATED)
        user = User.new(profile=profile, roles=roles, now=change.occur_time)
        async with self._unit_of_work as work:
            await work.users.add(user, change)
            work.audit(audit_entry_of(user, change))
            self._publish(user, change)
            await work.commit(user.user_id)
        return user

    async def get(self, user_id: UUID) -> User:
        """Returns a user.

        Raises:
            UserNotFound: There is none with this id.
        """
        return await self._users.get(user_id)

    async def batch_get(self, user_ids: Sequence[UUID]) -> list[User]:
        """Returns users in the order of their ids.

        Raises:
            UserNotFound: One or more ids are nobody's.
        """
        return await self._users.batch_get(user_ids)

    async def list(self, query: UserQuery, *, after: Position | None, page_size: int) -> Page[User]:
        """Returns the page that begins behind the position `after`; the first one if that is None."""
        found = await self._users.list(query, after=after, limit=page_size + 1)
        return Page.cut(found, size=page_size, key=query.order.position)

    async def update(self, user_id: UUID, fields: Mapping[str, str], *, etag: str) -> User:
        """Changes some fields of a user's profile.

        Raises:
            UserNotFound: There is none with this id.
            EtagMismatch: The user is not at the version that a non-empty `etag` names.
            EmailInvalid, PhoneNumberInvalid, TimeZoneUnknown: A new value is wrong.
            EmailTaken: Another user has the e-mail address.
            EmailProofRequired: It is the caller's own address.
        """
        return await self._apply(user_id, self._change(ChangeKind.UPDATED), etag=etag, fields=fields)

    async def deactivate(self, user_id: UUID, *, reason: str, etag: str) -> User:
        """Takes an account out of use.

        Raises:
            UserNotFound, EtagMismatch: As `update`.
            UserStateUnchanged: It is out of use already.
            LastAdmin: Nobody else is an active admin.
        """
        return await self._apply(user_id, self._change(ChangeKind.DEACTIVATED, reason=reason), etag=etag)

    async def reactivate(self, user_id: UUID, *, reason: str, etag: str) -> User:
        """Puts an account back into use.

        Raises:
            UserNotFound, EtagMismatch: As `update`.
            UserStateUnchanged: It is in use already.
        """
        return await self._apply(user_id, self._change(ChangeKind.REACTIVATED, reason=reason), etag=etag)

    async def grant_role(self, user_id: UUID, role: Role, *, reason: str, etag: str) -> User:
        """Gives a user one more role.

        Raises:
            UserNotFound, EtagMismatch: As `update`.
            RoleHeld: They hold it already.
        """
        change = self._change(ChangeKind.ROLE_GRANTED, role=role, reason=reason)
        return await self._apply(user_id, change, etag=etag)

    async def revoke_role(self, user_id: UUID, role: Role, *, reason: str, etag: str) -> User:
        """Takes a role from a user.

        Raises:
            UserNotFound, EtagMismatch: As `update`.
            RoleNotHeld: They do not hold it.
            LastRole: They hold no other.
            LastAdmin: Nobody else is an active admin.
        """
        change = self._change(ChangeKind.ROLE_REVOKED, role=role, reason=reason)
        return await self._apply(user_id, change, etag=etag)

    async def change_email(self, work: UsersUnitOfWork, user_id: UUID, email: str) -> None:
        """Changes a user's address, which is known to be theirs, inside a unit of work.

        Raises:
            EmailTaken: Another user has the address.
        """
        user, change = await work.users.get_for_update(user_id), self._change(ChangeKind.UPDATED)
        changed = user.after(change)
        await self._store(work, user, replace(changed, profile=replace(user.profile, email=email)), change)

    def _change(self, kind: ChangeKind, *, role: Role | None = None, reason: str = "") -> Change:
        return Change(kind=kind, role=role, reason=reason, actor=self._actor.user_id, occur_time=self._clock.now())

    def _publish(self, user: User, change: Change) -> None:
        event = event_of(user, change)
        if event is not None:
            self._unit_of_work.publish(event)

    async def _apply(
        self, user_id: UUID, change: Change, *, etag: str, fields: Mapping[str, str] | None = None
    ) -> User:
        if (known := await self._unit_of_work.replayed()) is not None:
            return await self._users.get(known)
        async with self._unit_of_work as work:
            user = await work.users.get_for_update(user_id)
            require_etag(etag, version=user.version)
            changed = user.after(change)
            if fields:
                changed = replace(changed, profile=Profile.parse(**{**vars(user.profile), **fields}))
            if changed.profile.email != user.profile.email and self._actor.user_id == str(user_id):
                raise EmailProofRequired
            await self._store(work, user, changed, change)
            await work.commit(user_id)
        return changed

    async def _store(self, work: UsersUnitOfWork, user: User, changed: User, change: Change) -> None:
        if user.is_active_admin and not changed.is_active_admin:
            await work.users.require_other_admin(user.user_id)
        await work.users.save(changed, change)
        work.audit(audit_entry_of(changed, change))
        # Somebody who may see more may not stay logged in for as long.
        if change.kind in ENDING_SESSIONS or limits_of(changed.roles) != limits_of(user.roles):
            await work.login_sessions.end_all(user.user_id, change.occur_time, change.kind)
        if (user.roles, user.state) != (changed.roles, changed.state):
            work.access_changed(user.user_id)
        if (old := user.profile.email) != changed.profile.email:
            await work.codes.forget_reset_code(old)
            await self._mail_queue.put(work, AccountMail(kind=MailKind.EMAIL_CHANGED, email=old))
            work.audit(AuditEntry(action="email.changed", subject=str(user.user_id)))
        self._publish(changed, change)
