"""Shows messages without what their contract marks as sensitive."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from generated.aura.options.v1 import sensitivity_pb2


def redacted(message: Message) -> dict[str, Any]:
    """Returns the message as JSON, each field that is PII, PHI or SECRET replaced by the name of its class."""
    shown: dict[str, Any] = {}
    for field, value in message.ListFields():
        sensitivity = field.GetOptions().Extensions[sensitivity_pb2.sensitivity]
        if sensitivity:
            shown[field.name] = f"[{sensitivity_pb2.Sensitivity.Name(sensitivity).removeprefix('SENSITIVITY_')}]"
        else:
            shown[field.name] = _shown(field, value)
    return shown


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
