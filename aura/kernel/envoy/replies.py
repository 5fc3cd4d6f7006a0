"""What Envoy answers by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http import HTTPStatus

from google.rpc import code_pb2

from aura.kernel.envoy.wording import Json

CODE_OF_HTTP: Mapping[int, int] = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    429: code_pb2.RESOURCE_EXHAUSTED,
    431: code_pb2.RESOURCE_EXHAUSTED,
    500: code_pb2.INTERNAL,
    501: code_pb2.UNIMPLEMENTED,
    502: code_pb2.UNAVAILABLE,
    503: code_pb2.UNAVAILABLE,
    504: code_pb2.DEADLINE_EXCEEDED,
}
"""What Envoy answers by itself, as `google.rpc.Status` says it."""

TEXT_OF_FAILURE = "the service cannot be reached; try again"
"""Said instead of Envoy's own texts, which tell how the platform looks inside."""


def local_replies() -> Iterator[Json]:
    """Yields how Envoy's own answers look to who does not speak gRPC, as far as they have a form there."""
    for http_status, code in CODE_OF_HTTP.items():
        message = TEXT_OF_FAILURE if http_status >= HTTPStatus.INTERNAL_SERVER_ERROR else "%LOCAL_REPLY_BODY%"
        yield {
            "filter": {"and_filter": {"filters": [_status_is(http_status), _IS_REST]}},
            "body_format_override": {
                "json_format": {"code": code, "message": message, "details": []},
                "content_type": "application/json",
            },
        }


def _status_is(http_status: int) -> Json:
    value = {"default_value": http_status, "runtime_key": "aura.unused"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}


_IS_REST: Json = {
    "or_filter": {
        "filters": [
            {
                "header_filter": {
                    "header": {
                        "name": "content-type",
                        "string_match": {"prefix": "application/grpc"},
                        "invert_match": True,
                        "treat_missing_header_as_empty": True,
                    }
                }
            },
            {"header_filter": {"header": {"name": "x-envoy-original-path", "present_match": True}}},
        ]
    }
}
"""A request that is no call of gRPC, or that the transcoder has made one of."""
