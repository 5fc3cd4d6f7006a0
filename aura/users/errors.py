"""The module's errors; each reason stands in `errors.proto`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aura.kernel.errors import AlreadyExists, FailedPrecondition, FieldViolation, InvalidArgument, NotFound

MAXIMUM_LISTED = 20  # gRPC's clients refuse more than 8 KiB of trailing metadata


class UserNotFound(NotFound):
    """There are no users with these ids."""

    reason = "USER_NOT_FOUND"

    def __init__(self, user_ids: Sequence[UUID]) -> None:
        listed = ", ".join(map(str, user_ids[:MAXIMUM_LISTED]))
        others = len(user_ids) - MAXIMUM_LISTED
        super().__init__(
            f"there is no user {listed}" + (f" (and {others} more)" if others > 0 else ""),
            metadata={"user_ids": listed},
        )


class EmailTaken(AlreadyExists):
    """Another user has this address."""

    reason = "EMAIL_TAKEN"

    def __init__(self) -> None:
        super().__init__(
            "another user has this e-mail address; choose another one",
            violations=[FieldViolation(field="user.email", description="is taken")],
        )


class _FieldInvalid(InvalidArgument):
    """A field of the user's profile is wrong."""

    field: str
    description: str

    def __init__(self) -> None:
        super().__init__(
            f"{self.field} {self.description}",
            violations=[FieldViolation(field=self.field, description=self.description, rule=self.reason)],
        )


class EmailInvalid(_FieldInvalid):
    """The text is no e-mail address that mail can be sent to."""

    reason = "EMAIL_INVALID"
    field = "user.email"
    description = "must be an e-mail address, as ada@example.com"


class PhoneNumberInvalid(_FieldInvalid):
    """The text is no telephone number."""

    reason = "PHONE_NUMBER_INVALID"
    field = "user.phone_number"
    description = "must be a telephone number with its country code, as +49 30 901820"


class TimeZoneUnknown(_FieldInvalid):
    """There is no such zone."""

    reason = "TIME_ZONE_UNKNOWN"
    field = "user.time_zone"
    description = "must be a name from the IANA time zone database, as Europe/Berlin"


class UserStateUnchanged(FailedPrecondition):
    """The account is in the requested state already."""

    reason = "USER_STATE_UNCHANGED"

    def __init__(self, *, state: str) -> None:
        super().__init__(f"the account is {state} already", metadata={"state": state})


class RoleHeld(FailedPrecondition):
    """The user holds the role already."""

    reason = "ROLE_HELD"

    def __init__(self, *, role: str) -> None:
        super().__init__(f"the user holds ROLE_{role} already", metadata={"role": f"ROLE_{role}"})


class RoleNotHeld(FailedPrecondition):
    """The user does not hold the role."""

    reason = "ROLE_NOT_HELD"

    def __init__(self, *, role: str) -> None:
        super().__init__(f"the user does not hold ROLE_{role}", metadata={"role": f"ROLE_{role}"})


class LastRole(FailedPrecondition):
    """A user without any role could do nothing."""

    reason = "LAST_ROLE"

    def __init__(self, *, role: str) -> None:
        super().__init__(
            f"ROLE_{role} is the user's only role; grant another one first, or deactivate the account",
            metadata={"role": f"ROLE_{role}"},
        )
