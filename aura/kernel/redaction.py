"""Shows messages without what their contract marks as sensitive."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from generated.aura.options.v1 import sensitivity_pb2


def redacted(message: Message) -> dict[str, Any]:
    """Returns the message as JSON, each field that is PII, PHI or SECRET replaced by the name of its class."""
    shown: dict[str, Any] = {}
    for field, value in message.ListFields():
        sensitivity = _sensitivity_of(field)
        if sensitivity:
            shown[field.name] = f"[{sensitivity_pb2.Sensitivity.Name(sensitivity).removeprefix('SENSITIVITY_')}]"
        else:
            shown[field.name] = _shown(field, value)
    return shown


@cache
def can_hold_phi(descriptor: Descriptor) -> bool:
    """Returns whether a field of a message, or of any message inside it, is PHI."""
    seen, to_see = {descriptor.full_name}, [descriptor]
    while to_see:
        for field in to_see.pop().fields:
            if _sensitivity_of(field) == sensitivity_pb2.SENSITIVITY_PHI:
                return True
            if field.message_type is not None and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                to_see.append(field.message_type)
    return False


def _sensitivity_of(field: FieldDescriptor) -> sensitivity_pb2.Sensitivity.ValueType:
    found: sensitivity_pb2.Sensitivity.ValueType = field.GetOptions().Extensions[sensitivity_pb2.sensitivity]
    return found


def _shown(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is None:
        return list(value) if field.is_repeated else value
    if field.message_type.GetOptions().map_entry:
        return {key: redacted(item) if isinstance(item, Message) else item for key, item in value.items()}
    if field.is_repeated:
        return [_shown_message(item) for item in value]
    return _shown_message(value)


def _shown_message(message: Message) -> Any:
    if message.DESCRIPTOR.file.package == "google.protobuf":
        return json_format.MessageToDict(message)
    return redacted(message)
