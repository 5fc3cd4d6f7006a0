"""Event types, as the contracts declare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory

from aura.kernel.contracts import load_contract
from generated.aura.options.v1 import event_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

EVENTS_FILE = "aura/{module}/v1/events.proto"


class NotAnEvent(TypeError):
    """A message was published whose contract does not make it an event."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is no event: give the message the option (aura.options.v1.event) in its contract")


@dataclass(frozen=True, kw_only=True)
class EventType:
    """A kind of event: its name, the message that tells of it, and the field that holds what it is about."""

    name: str
    message_class: type[Message]
    subject_field: str

    def subject_of(self, message: Message) -> str:
        """Returns the id of what an event is about.

        Raises:
            ValueError: It is empty.
        """
        subject: str = getattr(message, self.subject_field)
        if not subject:
            raise ValueError(f"{self.name} lacks its {self.subject_field}, which says what it is about")
        return subject


def event_type_of(message_class: type[Message]) -> EventType:
    """Returns the event type that a generated message class stands for.

    Raises:
        NotAnEvent: Its contract does not say so.
    """
    found = _declared(message_class.DESCRIPTOR)
    if found is None:
        raise NotAnEvent(message_class.DESCRIPTOR.full_name)
    return found


def event_types_of(module: str) -> Mapping[str, EventType]:
    """Returns the event types that a module's contract declares, by their names."""
    load_contract(module)
    try:
        file = descriptor_pool.Default().FindFileByName(EVENTS_FILE.format(module=module))
    except KeyError:
        return {}
    return _by_name(file.message_types_by_name.values())


def _by_name(descriptors: Iterable[Descriptor]) -> Mapping[str, EventType]:
    declared = (_declared(descriptor) for descriptor in descriptors)
    return {found.name: found for found in declared if found is not None}


def _declared(descriptor: Any) -> EventType | None:
    options = descriptor.GetOptions().Extensions[event_pb2.event]
    if not options.type:
        return None
    message_class = message_factory.GetMessageClass(descriptor)
    return EventType(name=options.type, message_class=message_class, subject_field=options.subject_field)
