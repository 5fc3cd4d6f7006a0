"""What the module keeps: users, and the table they are in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import email_validator
import phonenumbers
from sqlalchemy import ARRAY, Column, DateTime, Integer, MetaData, Table, Text, Uuid

from aura.kernel.ids import new_id
from aura.kernel.times import is_time_zone
from aura.users.errors import EmailInvalid, PhoneNumberInvalid, TimeZoneUnknown

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


users_table = Table(
    "users",
    MetaData(schema="users"),
    Column("user_id", Uuid, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("phone_number", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("roles", ARRAY(Text), nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
)


def normalized_email(text: str) -> str:
    """Returns the address with its domain in lower case and all characters composed (RFC 6531, NFC)."""
    try:
        return email_validator.validate_email(text, check_deliverability=False).normalized
    except email_validator.EmailNotValidError as error:
        raise EmailInvalid from error


def email_key(email: str) -> str:
    """Returns what two addresses share when they differ in nothing but case."""
    return email.casefold()


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
