"""Messages with something in every field."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

DEEPEST = 3
WHOLE_SECONDS = 1_760_000_000

_SAMPLES: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_STRING: "a sample",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 1.5,
    FieldDescriptor.CPPTYPE_FLOAT: 2.5,
    FieldDescriptor.CPPTYPE_INT32: -3,
    FieldDescriptor.CPPTYPE_INT64: -(2**60),
    FieldDescriptor.CPPTYPE_UINT32: 4,
    FieldDescriptor.CPPTYPE_UINT64: 2**63,
}
_WELL_KNOWN: dict[str, dict[str, Any]] = {
    "Timestamp": {"seconds": WHOLE_SECONDS, "nanos": 123_000_000},
    "Duration": {"seconds": 3, "nanos": 500_000_000},
    "FieldMask": {"paths": ["one_field", "another"]},
}
_FREE = frozenset({"Any", "Struct", "Value", "ListValue", "NullValue"})


def sample_of(descriptor: Descriptor, depth: int = 0) -> Message:
    """A message with a value in each field, down to a depth; of a oneof, in the first."""
    if descriptor.file.package == "google.protobuf" and descriptor.name in _WELL_KNOWN:
        return GetMessageClass(descriptor)(**_WELL_KNOWN[descriptor.name])
    message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if not _is_left_out(field, depth):
            _fill(message, field, depth)
    return message


def _is_left_out(field: FieldDescriptor, depth: int) -> bool:
    kind = field.message_type or field.enum_type
    if kind is not None and kind.file.package == "google.protobuf" and kind.name in _FREE:
        return True
    if field.message_type is not None and (depth >= DEEPEST or field.message_type.GetOptions().map_entry):
        return True
    choice = field.containing_oneof
    return choice is not None and choice.fields[0] is not field


def _fill(message: Any, field: FieldDescriptor, depth: int) -> None:
    value = _value(field, depth)
    if field.is_repeated:
        getattr(message, field.name).extend([value, value])
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _value(field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        return sample_of(field.message_type, depth + 1)
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\xfb\xff\x00"
    return _SAMPLES[field.cpp_type]
