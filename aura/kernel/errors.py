"""Errors by canonical code, with a reason and data. Standard library only: a module's domain may import this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta


MAXIMUM_VIOLATIONS = 20  # gRPC's clients refuse more than 8 KiB of trailing metadata


class Code(IntEnum):
    """The canonical codes of `google.rpc.Code`, which gRPC's status codes share."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, kw_only=True)
class FieldViolation:
    """One broken rule: the field's path in the request, what is wrong, and the rule's id."""

    field: str
    description: str
    rule: str = ""


class AuraError(Exception):
    """An error that the caller is told: its text, reason and metadata go over the wire, so they hold no personal data.

    A module subclasses the class of a canonical code and sets `reason`, which its `errors.proto` declares.
    """

    code: ClassVar[Code]
    reason: str = ""
    never_ran: ClassVar[bool] = False
    """Whether it is sure that nothing was done, so that who calls may be asked to try again."""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[FieldViolation] = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = self.reason if reason is None else reason
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after


class Cancelled(AuraError):
    """The caller gave up."""

    code = Code.CANCELLED


class Unknown(AuraError):
    """A service that does not speak our errors failed."""

    code = Code.UNKNOWN


class InvalidArgument(AuraError):
    """The request is wrong whatever the state of the system; `violations` name the fields."""

    code = Code.INVALID_ARGUMENT


class InvalidRequest(InvalidArgument):
    """The request breaks a rule of its contract; the text tells of the first, `violations` of each."""

    reason = "INVALID_REQUEST"

    def __init__(self, *violations: FieldViolation) -> None:
        first, *others = violations
        text = f"{first.field or 'the request'} {first.description}"
        super().__init__(
            f"{text} (and {len(others)} more)" if others else text, violations=violations[:MAXIMUM_VIOLATIONS]
        )


class DeadlineExceeded(AuraError):
    """The caller's time ran out; the work may or may not have been done."""

    code = Code.DEADLINE_EXCEEDED


class NotFound(AuraError):
    """What the request names does not exist, or the caller may not know that it does."""

    code = Code.NOT_FOUND


class AlreadyExists(AuraError):
    """What the request would create exists."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(AuraError):
    """The caller is known and may not do this."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(AuraError):
    """A limit is reached: a quota, a rate, or the server's capacity."""

    code = Code.RESOURCE_EXHAUSTED


class FailedPrecondition(AuraError):
    """The state of the system does not allow this; repeating does not help until the state changes."""

    code = Code.FAILED_PRECONDITION


class Aborted(AuraError):
    """A concurrent change got in the way; read again and repeat."""

    code = Code.ABORTED


class OutOfRange(AuraError):
    """The request goes past the end of something."""

    code = Code.OUT_OF_RANGE


class Unimplemented(AuraError):
    """The service does not do this."""

    code = Code.UNIMPLEMENTED


class Internal(AuraError):
    """Something failed that is not the caller's fault."""

    code = Code.INTERNAL


class Unavailable(AuraError):
    """The service, or something it needs, cannot be reached now; repeating may help."""

    code = Code.UNAVAILABLE


class DataLoss(AuraError):
    """Data is lost or damaged beyond repair."""

    code = Code.DATA_LOSS


class Unauthenticated(AuraError):
    """The caller did not prove who they are."""

    code = Code.UNAUTHENTICATED


CLASS_BY_CODE: dict[Code, type[AuraError]] = {cls.code: cls for cls in AuraError.__subclasses__()}
"""The class that stands for each code: the direct subclasses of `AuraError`."""
