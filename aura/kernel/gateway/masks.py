"""Which fields an update changes, where the caller does not say it: PUT replaces, PATCH changes what is in its body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from aura.kernel.gateway.bindings import WHOLE, Binding
from aura.kernel.gateway.json_reader import fields_of, is_plain

UPDATE_MASK = "update_mask"
EVERYTHING = "*"
ETAG = "etag"
"""It says which version is to be changed (AIP-154), and is not itself to be changed."""


class UpdateMask:
    """Fills in the `update_mask` (AIP-134) of a binding's requests, if they have one and their body is one field."""

    def __init__(self, binding: Binding) -> None:
        request = binding.method.input_type
        mask, body = request.fields_by_name.get(UPDATE_MASK), request.fields_by_name.get(binding.body)
        known = mask is not None and mask.message_type is not None and not mask.is_repeated
        self._resource = body.message_type if known and body is not None and binding.body != WHOLE else None
        self._verb = binding.verb
        self._in_path = {
            ".".join(variable.field_path[1:])
            for variable in binding.template.variables
            if variable.field_path[0] == binding.body
        }

    def fill(self, message: Any, body: object) -> None:
        """Sets the mask of a request that has none, by the JSON of its body."""
        if self._resource is None or message.HasField(UPDATE_MASK):
            return
        if self._verb == "PUT":
            message.update_mask.paths.append(EVERYTHING)
        elif self._verb == "PATCH":
            paths = [path for path in _paths(self._resource, body, "") if path not in self._in_path]
            message.update_mask.paths.extend(sorted(paths))


def _paths(message: Descriptor, value: Any, prefix: str) -> Iterator[str]:
    for name, field in fields_of(message, value):
        inside = value[name]
        path = prefix + field.name
        if path == ETAG or _is_output(field):
            continue
        kind = field.message_type
        if kind is not None and not field.is_repeated and is_plain(kind) and isinstance(inside, dict) and inside:
            yield from _paths(kind, inside, f"{path}.")
        else:
            yield path


def _is_output(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
