"""Which fields an update is to change (AIP-134)."""

from __future__ import annotations

from collections.abc import Collection

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from aura.kernel.errors import FieldViolation, InvalidArgument

EVERYTHING = "*"


class UpdateMaskInvalid(InvalidArgument):
    """A mask names a field that does not exist or cannot be changed."""

    reason = "UPDATE_MASK_INVALID"

    def __init__(self, path: str, updatable: Collection[str]) -> None:
        description = f"names {path[:64]!r}, which cannot be changed; it may name {', '.join(updatable)}, or *"
        super().__init__(
            f"update_mask {description}",
            violations=[FieldViolation(field="update_mask", description=description, rule=self.reason)],
        )


def fields_to_update(mask: FieldMask, resource: Message, updatable: Collection[str]) -> list[str]:
    """Returns the names of the fields to change: those the mask names, all for "*", those that are set for no mask.

    Raises:
        UpdateMaskInvalid: The mask names something else.
    """
    if not mask.paths:
        given = {field.name for field, _ in resource.ListFields()}
        return [name for name in updatable if name in given]
    if list(mask.paths) == [EVERYTHING]:
        return list(updatable)
    for path in mask.paths:
        if path not in updatable:
            raise UpdateMaskInvalid(path, updatable)
    return list(mask.paths)
