"""Subscribing: which of a module's classes handles which event."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from aura.kernel.events.types import EventType, event_type_of

if TYPE_CHECKING:
    from google.protobuf.message import Message


class Subscriber(Protocol):
    """Handles one type of event; made anew for each delivery by the module's container."""

    async def handle(self, event: Any) -> None:
        """Does what the event calls for.

        All that it changes, it changes in the module's unit of work, which also notes that the event has been handled.
        So an event that is delivered again has no second effect. If it raises, the event is delivered again later.
        """
        ...


class EventBus:
    """Takes the subscriptions of one module."""

    def __init__(self) -> None:
        self._subscribers: dict[str, tuple[EventType, type[Subscriber]]] = {}

    def subscribe(self, event_class: type[Message], subscriber_class: type[Subscriber]) -> None:
        """Has events of a generated class handled by a class of the module's own.

        Raises:
            ValueError: The module has a subscriber for this type.
        """
        kind = event_type_of(event_class)
        if kind.name in self._subscribers:
            raise ValueError(f"{kind.name} has two subscribers in one module; let one of them do both")
        self._subscribers[kind.name] = (kind, subscriber_class)

    @property
    def subscribers(self) -> Mapping[str, tuple[EventType, type[Subscriber]]]:
        """The subscribers, by the type of event."""
        return self._subscribers

    @property
    def types(self) -> Collection[str]:
        """The types of events that are handled."""
        return self._subscribers.keys()
