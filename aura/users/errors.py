"""The module's errors; each reason stands in `errors.proto`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from aura.kernel.errors import (
    AlreadyExists,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)

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
    description = "must be an e-mail address, as ada@example.com"

    def __init__(self, *, field: str = "user.email") -> None:
        self.field = field
        super().__init__()


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


class LastAdmin(FailedPrecondition):
    """Without an admin nobody could make another one."""

    reason = "LAST_ADMIN"

    def __init__(self) -> None:
        super().__init__("the user is the last active admin; grant ROLE_ADMIN to somebody else first")


class PasswordRefused(InvalidArgument):
    """The password may not be used; the description says why (NIST SP 800-63B-4, 3.1.1.2)."""

    reason = "PASSWORD_REFUSED"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(
            f"{field} {description}",
            violations=[FieldViolation(field=field, description=description, rule=self.reason)],
        )


class CredentialsInvalid(Unauthenticated):
    """Who asks has not proved who they are: unknown, wrong, locked or out of use, which is not told apart."""

    reason = "CREDENTIALS_INVALID"

    def __init__(self) -> None:
        super().__init__(
            "these credentials are not valid, or were tried too often; try again later, or ask for a new password"
        )


class SecondFactorRequired(Unauthenticated):
    """The password is right, and a code must go with it."""

    reason = "SECOND_FACTOR_REQUIRED"

    def __init__(self) -> None:
        super().__init__("log in with the same password and the code that your authenticator app shows, in `code`")


class CodeInvalid(Unauthenticated):
    """A code that was sent by mail is not good: wrong, used, expired or tried too often, which is not told apart."""

    reason = "CODE_INVALID"

    def __init__(self) -> None:
        super().__init__("this code is not valid, or not any more; ask for a new one")


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is good for nothing."""

    reason = "REFRESH_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the refresh token is not valid, or not any more; log in again")


class SignInRequired(Unauthenticated):
    """The call must be made by a user who is logged in."""

    reason = "SIGN_IN_REQUIRED"

    def __init__(self) -> None:
        super().__init__("log in first, and send the access token in the metadata `authorization`, behind `Bearer `")


class AccessEnded(Unauthenticated):
    """The session, the user or the client is no more."""

    reason = "ACCESS_ENDED"

    def __init__(self) -> None:
        super().__init__("the session has ended, or the account is out of use")


class TotpEnabled(FailedPrecondition):
    """An authenticator app is set up already."""

    reason = "TOTP_ENABLED"

    def __init__(self) -> None:
        super().__init__("an authenticator app is set up already; disable it first")


class TotpNotEnrolled(FailedPrecondition):
    """No authenticator app is set up, or none is being set up."""

    reason = "TOTP_NOT_ENROLLED"

    def __init__(self) -> None:
        super().__init__("no authenticator app is set up; begin with EnrollTotp")


class LoginSessionNotFound(NotFound):
    """The user has no such session."""

    reason = "LOGIN_SESSION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("the user has no such login session")


class ServiceUnknown(InvalidArgument):
    """The platform has no service of the name at a position of a list."""

    reason = "SERVICE_UNKNOWN"

    def __init__(self, position: int) -> None:
        field = f"services[{position}]"
        description = "is no service of this platform; name one as aura.users.v1.UserService"
        super().__init__(
            f"{field} {description}",
            violations=[FieldViolation(field=field, description=description, rule=self.reason)],
        )


class ServiceClientNotFound(NotFound):
    """There is no such client."""

    reason = "SERVICE_CLIENT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no client with this id")


class AdminExists(AlreadyExists):
    """The platform has an admin."""

    reason = "ADMIN_EXISTS"

    def __init__(self) -> None:
        super().__init__("the platform has an admin already")


class TooManyAttempts(ResourceExhausted):
    """Too many attempts failed that came from one network address. It says nothing of any account."""

    reason = "TOO_MANY_ATTEMPTS"

    def __init__(self, pause: timedelta) -> None:
        super().__init__("too many attempts from this network address failed; try again later", retry_after=pause)


class EmailProofRequired(FailedPrecondition):
    """Users change their own address where they prove who they are, and that the new one is theirs."""

    reason = "EMAIL_PROOF_REQUIRED"

    def __init__(self) -> None:
        super().__init__("users change their own e-mail address with AuthenticationService.RequestEmailChange")


class TooManyLogins(ResourceExhausted):
    """More passwords wait to be checked than can be in reasonable time."""

    reason = "TOO_MANY_LOGINS"

    def __init__(self) -> None:
        super().__init__("too many passwords are being checked at present; try again", retry_after=timedelta(seconds=2))
