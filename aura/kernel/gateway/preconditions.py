"""What of a request's headers is fields of its message: `Idempotency-Key` and `If-Match`; and `ETag` of an answer."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from aura.kernel.gateway.bindings import Binding
from aura.kernel.gateway.headers import RequestHeaders
from aura.kernel.gateway.refusals import BadRequest

REQUEST_ID_FIELD, ETAG_FIELD = "request_id", "etag"
_ENTITY_TAG = re.compile(r'"([\x21\x23-\x7e]*)"')


class Preconditions:
    """The fields of a binding's messages that HTTP has headers for; found once, by their names (AIP-154, AIP-155)."""

    def __init__(self, binding: Binding) -> None:
        request, body = binding.method.input_type, binding.body
        self._takes_request_id = _is_text(request.fields_by_name.get(REQUEST_ID_FIELD))
        self._etag_path = _etag_path(request, body)
        self._gives_etag = _is_text(binding.method.output_type.fields_by_name.get(ETAG_FIELD))

    def apply(self, headers: RequestHeaders, message: Any) -> None:
        """Sets the fields that the headers give.

        Raises:
            BadRequest: A header is not of its form, is for nothing, or contradicts the body.
        """
        key = headers.get("idempotency-key")
        if key and self._takes_request_id:
            _set(message, REQUEST_ID_FIELD, key.strip('"'), "Idempotency-Key")
        tag = headers.get("if-match")
        if tag and tag != "*" and self._etag_path is not None:
            found = _ENTITY_TAG.fullmatch(tag)
            if found is None:
                raise BadRequest('If-Match must be one strong entity tag in quotes, as "3"', field=ETAG_FIELD)
            for name in self._etag_path[:-1]:
                message = getattr(message, name)
            _set(message, ETAG_FIELD, found[1], "If-Match")

    def entity_tag(self, response: Message) -> str:
        """Returns the `ETag` of an answer; empty if it has none."""
        tag = getattr(response, ETAG_FIELD) if self._gives_etag else ""
        return f'"{tag}"' if tag else ""


def _etag_path(request: Descriptor, body: str) -> tuple[str, ...] | None:
    if _is_text(request.fields_by_name.get(ETAG_FIELD)):
        return (ETAG_FIELD,)
    field = request.fields_by_name.get(body)
    inside = field.message_type if field is not None and not field.is_repeated else None
    if inside is not None and _is_text(inside.fields_by_name.get(ETAG_FIELD)):
        return (body, ETAG_FIELD)
    return None


def _is_text(field: FieldDescriptor | None) -> bool:
    return field is not None and field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated


def _set(message: Any, field: str, value: str, header: str) -> None:
    given = getattr(message, field)
    if given and given != value:
        raise BadRequest(f"{field} and the header {header} differ; give one of them", field=field)
    if not (value.isascii() and value.isprintable()):
        raise BadRequest(f"the header {header} has characters that are not printable ASCII", field=field)
    setattr(message, field, value)
