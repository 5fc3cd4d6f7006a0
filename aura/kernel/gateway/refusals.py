"""What the gateway refuses by itself, in the form in which services report errors: `google.rpc.Status`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus

from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

DOMAIN = "gateway"
"""The domain of the reasons below (AIP-193), for they are no service's."""


class Refusal(Exception):
    """A request that the gateway answers by itself.

    Attributes:
        http_status: The HTTP status.
        reason: Why, as programs read it.
        status: What is said of it.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        http_status: HTTPStatus,
        code: int,
        message: str,
        *,
        reason: str,
        field: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.reason = reason
        self.headers = dict(headers or {})
        details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)]
        if field:
            violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=message)
            details.append(error_details_pb2.BadRequest(field_violations=[violation]))
        self.status = status_pb2.Status(code=code, message=message, details=map(_packed, details))


class BadRequest(Refusal):
    """Something in the request is not as it has to be; `field` is its path in the request message, where it has one."""

    def __init__(self, message: str, *, reason: str = "MALFORMED_REQUEST", field: str = "") -> None:
        super().__init__(HTTPStatus.BAD_REQUEST, code_pb2.INVALID_ARGUMENT, message, reason=reason, field=field)


class RouteNotFound(Refusal):
    """No method has this path."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.NOT_FOUND, code_pb2.NOT_FOUND, "there is nothing at this path", reason="ROUTE_NOT_FOUND"
        )


class MethodNotAllowed(Refusal):
    """The path is there, but not for this HTTP method."""

    def __init__(self, verb: str, allowed: str) -> None:
        super().__init__(
            HTTPStatus.METHOD_NOT_ALLOWED,
            code_pb2.UNIMPLEMENTED,
            f"this path does not take {verb[:20]}; it takes {allowed}",
            reason="METHOD_NOT_ALLOWED",
            headers={"allow": allowed},
        )


class BodyTooLarge(Refusal):
    """The body is longer than may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            code_pb2.RESOURCE_EXHAUSTED,
            f"the body may have at most {limit} bytes",
            reason="BODY_TOO_LARGE",
        )


class HeadersTooLarge(Refusal):
    """The headers make more metadata than a call may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            code_pb2.RESOURCE_EXHAUSTED,
            f"the headers that are passed on may have at most {limit} bytes, with 32 for each",
            reason="HEADERS_TOO_LARGE",
        )


class TooManyRequests(Refusal):
    """The client comes too often."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            code_pb2.RESOURCE_EXHAUSTED,
            "too many requests from this address; try again a little later",
            reason="RATE_LIMITED",
            headers={"retry-after": str(max(math.ceil(retry_after), 1))},
        )


class TooManyBodies(Refusal):
    """There is no room for more bodies at present."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.SERVICE_UNAVAILABLE,
            code_pb2.UNAVAILABLE,
            "too much is being sent at present; try again a little later",
            reason="OVERLOADED",
            headers={"retry-after": "1"},
        )


class BodyOverdue(Refusal):
    """The body did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.REQUEST_TIMEOUT,
            code_pb2.DEADLINE_EXCEEDED,
            "the body did not arrive in time",
            reason="BODY_OVERDUE",
        )


class UnsupportedMediaType(Refusal):
    """The body is in a form that the gateway does not read."""

    def __init__(self, message: str) -> None:
        super().__init__(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code_pb2.INVALID_ARGUMENT, message, reason="UNSUPPORTED_MEDIA_TYPE"
        )


class PathTooLong(Refusal):
    """The path, or the query, is longer than may be."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            HTTPStatus.REQUEST_URI_TOO_LONG,
            code_pb2.INVALID_ARGUMENT,
            f"path and query may have at most {limit} bytes",
            reason="PATH_TOO_LONG",
        )


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
