"""Writes responses and errors as JSON, with the HTTP status that grpc-gateway gives them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

JSON_TYPE = "application/json"
LINES_TYPE = "application/x-ndjson"
STATUS_DETAILS = "grpc-status-details-bin"
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
MILLIARD = 1_000_000_000

HTTP_STATUS: Mapping[int, int] = {
    grpc.StatusCode.OK.value[0]: 200,
    grpc.StatusCode.CANCELLED.value[0]: 499,
    grpc.StatusCode.UNKNOWN.value[0]: 500,
    grpc.StatusCode.INVALID_ARGUMENT.value[0]: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED.value[0]: 504,
    grpc.StatusCode.NOT_FOUND.value[0]: 404,
    grpc.StatusCode.ALREADY_EXISTS.value[0]: 409,
    grpc.StatusCode.PERMISSION_DENIED.value[0]: 403,
    grpc.StatusCode.UNAUTHENTICATED.value[0]: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]: 429,
    grpc.StatusCode.FAILED_PRECONDITION.value[0]: 400,
    grpc.StatusCode.ABORTED.value[0]: 409,
    grpc.StatusCode.OUT_OF_RANGE.value[0]: 400,
    grpc.StatusCode.UNIMPLEMENTED.value[0]: 501,
    grpc.StatusCode.INTERNAL.value[0]: 500,
    grpc.StatusCode.UNAVAILABLE.value[0]: 503,
    grpc.StatusCode.DATA_LOSS.value[0]: 500,
}
"""The HTTP status of each gRPC status, as grpc-gateway and Envoy have it (google/rpc/code.proto says it of each)."""


def json_bytes(value: object) -> bytes:
    """Returns a JSON value as text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def json_of(message: Message) -> Any:
    """Returns a message's JSON form; fields without presence are there too when they have their default value."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


class ResponseWriter:
    """Writes what a binding answers with: the response, or one field of it."""

    def __init__(self, message: Any, response_body: str) -> None:
        self._field = message.fields_by_name[response_body] if response_body else None

    def value(self, response: Message) -> Any:
        """Returns the JSON value of the answer."""
        whole = json_of(response)
        return whole if self._field is None else whole.get(self._field.json_name, _absent(self._field))

    def write(self, response: Message) -> bytes:
        """Returns the text of the answer."""
        return json_bytes(self.value(response))


def _absent(field: Any) -> Any:
    return None if field.message_type is None else {}


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """Returns the status of a failed call, with its details if it has any."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status(code=error.code().value[0], message=error.details() or "")


def json_of_status(status: status_pb2.Status) -> dict[str, Any]:
    """Returns the JSON form of a status; a detail of an unknown type stays encoded."""
    details = []
    for detail in status.details:
        try:
            details.append(json_format.MessageToDict(detail))
        except (TypeError, DecodeError, json_format.Error):
            details.append({"@type": detail.type_url, "value": base64.b64encode(detail.value).decode()})
    return {"code": status.code, "message": status.message, "details": details}


def headers_of_status(status: status_pb2.Status, *, with_token: bool) -> list[tuple[str, str]]:
    """Returns what HTTP says in headers: when to try again (RFC 9110, 10.2.3), and how to log in (RFC 6750, 3)."""
    headers = []
    if status.code == grpc.StatusCode.UNAUTHENTICATED.value[0]:
        headers.append(("www-authenticate", 'Bearer error="invalid_token"' if with_token else "Bearer"))
    for detail in status.details:
        if detail.type_url == RETRY_INFO:
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            headers.append(("retry-after", str(max(math.ceil(delay.seconds + delay.nanos / MILLIARD), 1))))
    return headers


def result_line(value: object) -> bytes:
    """Returns a response of a stream as a line, in grpc-gateway's form."""
    return json_bytes({"result": value}) + b"\n"


def error_line(status: status_pb2.Status) -> bytes:
    """Returns the error that ends a stream as a line, in grpc-gateway's form."""
    return json_bytes({"error": json_of_status(status)}) + b"\n"
