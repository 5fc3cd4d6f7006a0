"""The JSON forms that proto3 gives to scalars and to its well-known messages."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from google.protobuf.descriptor import FieldDescriptor

from aura.kernel.gateway.openapi.json_schema import Schema

DURATION_PATTERN = r"^-?(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?s$"
NOT_NEGATIVE_DURATION_PATTERN = DURATION_PATTERN.replace("-?", "", 1)
FIELD_MASK_PATTERN = r"^([A-Za-z0-9.*]+(,[A-Za-z0-9.*]+)*)?$"
WHOLE_NUMBER_PATTERN, NATURAL_NUMBER_PATTERN = "^-?[0-9]{1,19}$", "^[0-9]{1,20}$"

_INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
_UINT32: Schema = {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 2**32 - 1}
_INT64: Schema = {"type": "string", "format": "int64", "pattern": WHOLE_NUMBER_PATTERN}
_UINT64: Schema = {"type": "string", "format": "uint64", "pattern": NATURAL_NUMBER_PATTERN}

_SCALARS: Mapping[int, Schema] = {
    # NaN and the infinities, which proto3 JSON has as text, are left out: what tells of them hinders everyone else
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_SINT32: _INT32,
    FieldDescriptor.TYPE_SFIXED32: _INT32,
    FieldDescriptor.TYPE_UINT32: _UINT32,
    FieldDescriptor.TYPE_FIXED32: _UINT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_SINT64: _INT64,
    FieldDescriptor.TYPE_SFIXED64: _INT64,
    FieldDescriptor.TYPE_UINT64: _UINT64,
    FieldDescriptor.TYPE_FIXED64: _UINT64,
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}

_MESSAGES: Mapping[str, Schema] = {
    "Any": {
        "type": "object",
        "properties": {"@type": {"type": "string", "description": "The type of the message, as a URL."}},
        "required": ["@type"],
    },
    "Duration": {"type": "string", "pattern": DURATION_PATTERN},
    "Empty": {"type": "object"},
    "FieldMask": {"type": "string", "pattern": FIELD_MASK_PATTERN},
    "ListValue": {"type": "array"},
    "Struct": {"type": "object"},
    "Timestamp": {"type": "string", "format": "date-time"},
    "Value": {},
    "DoubleValue": _SCALARS[FieldDescriptor.TYPE_DOUBLE],
    "FloatValue": _SCALARS[FieldDescriptor.TYPE_FLOAT],
    "Int32Value": _INT32,
    "UInt32Value": _UINT32,
    "Int64Value": _INT64,
    "UInt64Value": _UINT64,
    "BoolValue": _SCALARS[FieldDescriptor.TYPE_BOOL],
    "StringValue": _SCALARS[FieldDescriptor.TYPE_STRING],
    "BytesValue": _SCALARS[FieldDescriptor.TYPE_BYTES],
}
_PACKAGE = "google.protobuf."
FREE_MESSAGES = frozenset(f"{_PACKAGE}{name}" for name in ("Any", "ListValue", "Struct", "Value"))
"""Messages whose JSON may be of any depth, so that they can be in a body only."""


def scalar_schema(kind: int) -> Schema:
    """Returns the schema of a scalar type, given as in `FieldDescriptor.type`."""
    return copy.deepcopy(_SCALARS[kind])


def well_known_schema(full_name: str) -> Schema | None:
    """Returns the schema of a message that has a JSON form of its own; None if it has none. Wrappers take null."""
    found = _MESSAGES.get(full_name.removeprefix(_PACKAGE)) if full_name.startswith(_PACKAGE) else None
    if found is None:
        return None
    schema = copy.deepcopy(found)
    if full_name.endswith("Value") and full_name not in FREE_MESSAGES:
        schema["type"] = [schema["type"], "null"]
    return schema


def without_null(schema: Schema) -> Schema:
    """Returns the schema of what may be in a path or a query, where there is no null."""
    kind = schema.get("type")
    return schema | {"type": kind[0]} if isinstance(kind, list) else schema
