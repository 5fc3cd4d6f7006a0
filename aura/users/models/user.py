"""What the module keeps: users, and the table they are in."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import email_validator
import phonenumbers
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from aura.kernel.ids import new_id
from aura.kernel.times import is_time_zone
from aura.users.errors import (
    EmailInvalid,
    LastRole,
    PhoneNumberInvalid,
    RoleHeld,
    RoleNotHeld,
    TimeZoneUnknown,
    UserStateUnchanged,
)

DEFAULT_TIME_ZONE = "UTC"
DEFAULT_LOCALE = "en"


class Role(StrEnum):
    """What a user may be."""

    PATIENT = "PATIENT"
    THERAPIST = "THERAPIST"
    SUPPORT = "SUPPORT"
    ADMIN = "ADMIN"
    OPERATOR = "OPERATOR"
    SERVICE = "SERVICE"


class UserState(StrEnum):
    """Whether an account is in use."""

    ACTIVE = "ACTIVE"
    DEACTIVATED = "DEACTIVATED"


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a user says of themselves, normalised."""

    email: str
    display_name: str
    phone_number: str
    time_zone: str
    locale: str

    @classmethod
    def parse(cls, *, email: str, display_name: str, phone_number: str, time_zone: str, locale: str) -> Profile:
        """Returns the normalised profile.

        Raises:
            EmailInvalid: The e-mail address is none.
            PhoneNumberInvalid: The telephone number is none, or lacks its country code.
            TimeZoneUnknown: The zone is not in the IANA time zone database.
        """
        return cls(
            email=normalized_email(email),
            display_name=display_name,
            phone_number=normalized_phone_number(phone_number) if phone_number else "",
            time_zone=known_time_zone(time_zone or DEFAULT_TIME_ZONE),
            locale=normalized_locale(locale or DEFAULT_LOCALE),
        )


class ChangeKind(StrEnum):
    """What happened to a user."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DEACTIVATED = "DEACTIVATED"
    REACTIVATED = "REACTIVATED"
    ROLE_GRANTED = "ROLE_GRANTED"
    ROLE_REVOKED = "ROLE_REVOKED"


@dataclass(frozen=True, kw_only=True)
class Change:
    """Who changed a user, how and why: an entry of the user's history."""

    kind: ChangeKind
    actor: str
    occur_time: datetime
    role: Role | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class User:
    """A user as stored."""

    user_id: UUID
    profile: Profile
    roles: tuple[Role, ...]
    state: UserState
    version: int
    create_time: datetime
    update_time: datetime

    @classmethod
    def new(cls, *, profile: Profile, roles: tuple[Role, ...], now: datetime) -> User:
        """Returns a new, active user."""
        return cls(
            user_id=new_id(),
            profile=profile,
            roles=roles,
            state=UserState.ACTIVE,
            version=1,
            create_time=now,
            update_time=now,
        )

    @property
    def is_active_admin(self) -> bool:
        """Whether they can make others what they are."""
        return self.state is UserState.ACTIVE and Role.ADMIN in self.roles

    def after(self, change: Change) -> User:
        """Returns the user as the change leaves them.

        Raises:
            UserStateUnchanged, RoleHeld, RoleNotHeld, LastRole: The change does not fit the user.
        """
        return replace(
            self,
            state=_state_after(self, change),
            roles=_roles_after(self, change),
            version=self.version + 1,
            update_time=change.occur_time,
        )


def _state_after(user: User, change: Change) -> UserState:
    target = {ChangeKind.DEACTIVATED: UserState.DEACTIVATED, ChangeKind.REACTIVATED: UserState.ACTIVE}.get(change.kind)
    if target is user.state:
        raise UserStateUnchanged(state=target)
    return target or user.state


def _roles_after(user: User, change: Change) -> tuple[Role, ...]:
    match change:
        case Change(kind=ChangeKind.ROLE_GRANTED, role=Role() as role):
            if role in user.roles:
                raise RoleHeld(role=role)
            return (*user.roles, role)
        case Change(kind=ChangeKind.ROLE_REVOKED, role=Role() as role):
            if role not in user.roles:
                raise RoleNotHeld(role=role)
            if len(user.roles) == 1:
                raise LastRole(role=role)
            return tuple(held for held in user.roles if held is not role)
        case _:
            return user.roles


metadata = MetaData(schema="users")

users_table = Table(
    "users",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text(collation="C"), nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("name_key", Text(collation="C"), nullable=False),
    Column("phone_number", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
)

user_changes_table = Table(
    "user_changes",
    metadata,
    Column("user_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("role", Text),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("occur_time", DateTime(timezone=True), nullable=False),
)


def normalized_email(text: str, *, field: str = "user.email") -> str:
    """Returns the address with its domain in lower case and all characters composed (RFC 6531, NFC).

    Raises:
        EmailInvalid: It is none; the error names the `field`.
    """
    try:
        return email_validator.validate_email(text, check_deliverability=False).normalized
    except email_validator.EmailNotValidError as error:
        raise EmailInvalid(field=field) from error


def given_email(text: str) -> str:
    """Returns an address as it would be stored, however it was typed; what is no address, as it is: nobody has it."""
    try:
        return normalized_email(text)
    except EmailInvalid:
        return text


def search_key(text: str) -> str:
    """Returns what two texts share when they differ in nothing but case and in how characters are composed."""
    return unicodedata.normalize("NFKC", text).casefold()


def normalized_phone_number(text: str) -> str:
    """Returns the number as E.164."""
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException as error:
        raise PhoneNumberInvalid from error
    if not phonenumbers.is_valid_number(number):
        raise PhoneNumberInvalid
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def known_time_zone(name: str) -> str:
    """Returns the name if the IANA time zone database has it."""
    if not is_time_zone(name):
        raise TimeZoneUnknown
    return name


def normalized_locale(tag: str) -> str:
    """Returns a tag that is known to be well formed in the case that BCP 47 recommends (RFC 5646, 2.1.1)."""
    language, *rest = tag.split("-")
    return "-".join([language.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)])  # noqa: PLR2004 a script has four letters
