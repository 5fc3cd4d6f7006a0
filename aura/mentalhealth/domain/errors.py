"""The module's errors; each reason stands in `errors.proto`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from aura.kernel.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound, PermissionDenied


class SessionNotFound(NotFound):
    """There is no session with this id."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such therapy session")


class BookingNotAdmitted(PermissionDenied):
    """Patients book for themselves, and therapists their own sessions."""

    reason = "BOOKING_NOT_ADMITTED"

    def __init__(self) -> None:
        super().__init__("patients book sessions for themselves, and therapists their own; support books for others")


class EmergencyAccessNotFound(NotFound):
    """There is no such access, or none of the caller's."""

    reason = "EMERGENCY_ACCESS_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such emergency access")


class SessionOverlaps(FailedPrecondition):
    """The therapist or the patient is taken at that time; it does not tell which of them, nor by what."""

    reason = "SESSION_OVERLAPS"

    def __init__(self, *, next_free: Sequence[datetime] = ()) -> None:
        super().__init__(
            "the therapist or the patient is not free at that time; choose another time",
            metadata={"next_free_times": " ".join(time.isoformat() for time in next_free)} if next_free else None,
        )


class IllegalTransition(FailedPrecondition):
    """The session's state does not allow the change."""

    reason = "ILLEGAL_TRANSITION"

    def __init__(self, *, state: str, requested: str) -> None:
        super().__init__(
            f"a session that is {state} cannot become {requested}",
            metadata={"state": state, "requested_state": requested},
        )


class StartInPast(InvalidArgument):
    """A session cannot begin in the past."""

    reason = "START_IN_PAST"

    def __init__(self, *, start: datetime, now: datetime) -> None:
        super().__init__(
            f"start_time {start.isoformat()} is past; it is {now.isoformat()}",
            metadata={"start_time": start.isoformat(), "now": now.isoformat()},
            violations=[FieldViolation(field="start_time", description="must not be past", rule=self.reason)],
        )


class TooEarlyToStart(FailedPrecondition):
    """It is long before the session's time."""

    reason = "TOO_EARLY_TO_START"

    def __init__(self, *, earliest: datetime) -> None:
        super().__init__(
            f"the session can be started from {earliest.isoformat()} on", metadata={"earliest": earliest.isoformat()}
        )


class TooEarlyForNoShow(FailedPrecondition):
    """The patient may still come."""

    reason = "TOO_EARLY_FOR_NO_SHOW"

    def __init__(self, *, earliest: datetime) -> None:
        super().__init__(
            f"the session can be marked as missed from {earliest.isoformat()} on",
            metadata={"earliest": earliest.isoformat()},
        )


class ParticipantNotFound(NotFound):
    """No user has the id given for a participant."""

    reason = "PARTICIPANT_NOT_FOUND"

    def __init__(self, *, participant: str) -> None:
        super().__init__(f"no user has the {participant}_id given", metadata={"participant": participant})


class ParticipantRoleMissing(FailedPrecondition):
    """The person does not hold the role that the session needs."""

    reason = "PARTICIPANT_ROLE_MISSING"

    def __init__(self, *, participant: str, required_role: str) -> None:
        super().__init__(
            f"the user given as {participant} does not hold {required_role}",
            metadata={"participant": participant, "required_role": required_role},
        )


class ParticipantInactive(FailedPrecondition):
    """The person's account is deactivated."""

    reason = "PARTICIPANT_INACTIVE"

    def __init__(self, *, participant: str) -> None:
        super().__init__(f"the {participant}'s account is deactivated", metadata={"participant": participant})


class TimeZoneUnknown(InvalidArgument):
    """There is no such zone."""

    reason = "TIME_ZONE_UNKNOWN"

    def __init__(self) -> None:
        description = "must be a name from the IANA time zone database, as Europe/Berlin"
        super().__init__(
            f"time_zone {description}",
            violations=[FieldViolation(field="time_zone", description=description, rule=self.reason)],
        )


class DisorderNotFound(NotFound):
    """The catalogue has no such code."""

    reason = "DISORDER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("the catalogue (ICD-10-CM, F01-F99) has no such code")
