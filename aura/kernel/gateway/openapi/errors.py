"""How methods fail: the answers that tell of errors, all of the form google.rpc.Status (AIP-193)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor
from google.rpc import code_pb2, error_details_pb2, status_pb2

from aura.kernel.gateway.bindings import Binding
from aura.kernel.gateway.openapi.json_schema import Schema, reference
from aura.kernel.gateway.openapi.parameters import takes_etag, takes_request_id
from aura.kernel.gateway.openapi.schemas import Schemas, Usage
from aura.kernel.gateway.openapi.texts import Texts
from aura.kernel.gateway.responses import HTTP_STATUS, JSON_TYPE

STATUS = status_pb2.Status.DESCRIPTOR.full_name
OTHERS = "default"
TYPE_URL = "type.googleapis.com/"

_NAMES = {
    "400": "BadRequest",
    "401": "Unauthenticated",
    "403": "PermissionDenied",
    "404": "NotFound",
    "409": "Conflict",
    "429": "ResourceExhausted",
    "500": "Internal",
    "503": "Unavailable",
    "504": "DeadlineExceeded",
    OTHERS: "Error",
}
_MEANINGS = {
    "400": "The request is not as it has to be (INVALID_ARGUMENT), or the state of things does not admit it now "
    "(FAILED_PRECONDITION).",
    "401": "The call has no valid credentials (UNAUTHENTICATED).",
    "403": "The caller may not do this (PERMISSION_DENIED).",
    "404": "There is no such thing, or the caller may not see it (NOT_FOUND).",
    "409": "It is there already (ALREADY_EXISTS), or it has changed meanwhile (ABORTED).",
    "429": "There are too many calls; try again later (RESOURCE_EXHAUSTED).",
    "500": "Something went wrong in the platform (INTERNAL).",
    "503": "The platform, or a part of it, does not answer now; try again later (UNAVAILABLE).",
    "504": "It took too long (DEADLINE_EXCEEDED).",
    OTHERS: "The call failed in another way.",
}
_HEADERS = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}
_ALWAYS = ("429", "500", "503", "504", OTHERS)
_DETAILS: tuple[Descriptor, ...] = tuple(
    error_details_pb2.DESCRIPTOR.message_types_by_name[name]
    for name in (
        "ErrorInfo",
        "BadRequest",
        "RetryInfo",
        "PreconditionFailure",
        "QuotaFailure",
        "RequestInfo",
        "ResourceInfo",
        "Help",
        "LocalizedMessage",
    )
)


def error_codes(binding: Binding, texts: Texts, *, needs_token: bool) -> list[str]:
    """Returns the HTTP statuses with which a binding may fail: by what it takes, and by what the contract says."""
    message = binding.method.input_type
    found = {"400", *_ALWAYS, *_statuses_in(texts.of(binding.method))}
    found |= {"401", "403"} if needs_token else set()
    found |= {"404"} if binding.template.variables else set()
    found |= {"409"} if takes_request_id(message) or takes_etag(binding) else set()
    return sorted(found)


def _statuses_in(text: str) -> Iterator[str]:
    """Yields the HTTP statuses of the canonical codes that a text names."""
    for word in re.findall(r"[A-Z_]{7,}", text):
        code = code_pb2.Code.DESCRIPTOR.values_by_name.get(word)
        if code is not None:
            status = str(HTTP_STATUS[code.number])
            if status in _NAMES:
                yield status


def error_response(code: str) -> Schema:
    """Returns a reference to the answer with an HTTP status."""
    return reference("responses", _NAMES[code])


def error_responses() -> dict[str, Schema]:
    """Returns the answers that tell of errors, by the names of their components."""
    return {name: _response(code) for code, name in _NAMES.items()}


def add_error_schemas(schemas: Schemas) -> None:
    """Adds the schemas of google.rpc.Status and of its details."""
    details = [_detail_schema(detail, schemas) for detail in _DETAILS]
    other = schemas.of_field(status_pb2.Status.DESCRIPTOR.fields_by_name["details"], Usage.RESPONSE)
    status = schemas.of_message(status_pb2.Status.DESCRIPTOR, Usage.RESPONSE)["$ref"].rpartition("/")[2]
    schemas.components[status]["properties"]["details"] = other | {"items": {"anyOf": [*details, other["items"]]}}


def _detail_schema(message: Descriptor, schemas: Schemas) -> Schema:
    """Returns the schema of a detail; what of it is empty is not sent."""
    name = schemas.of_message(message, Usage.RESPONSE)["$ref"].rpartition("/")[2]
    schema = schemas.components[name]
    schema["properties"] = {"@type": {"const": f"{TYPE_URL}{message.full_name}"}, **schema["properties"]}
    schema["required"] = ["@type"]
    for nested in _messages_in(message):
        schemas.components[nested.full_name].pop("required", None)
    return reference("schemas", name)


def _messages_in(message: Descriptor) -> Iterator[Descriptor]:
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            yield nested


def _response(code: str) -> Schema:
    headers = {name: reference("headers", name) for name in (*_HEADERS.get(code, ()), "X-Request-Id")}
    return {
        "description": _MEANINGS[code],
        "headers": headers,
        "content": {JSON_TYPE: {"schema": reference("schemas", STATUS)}},
    }
