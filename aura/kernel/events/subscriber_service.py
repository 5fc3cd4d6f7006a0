"""Serves `aura.events.v1.SubscriberService`: brings events to the subscribers of the modules that are hosted here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from aura.kernel.database import Database, is_transient_conflict
from aura.kernel.errors import InvalidArgument, PermissionDenied
from aura.kernel.events.inbox import AlreadyHandled, Delivery
from aura.kernel.interceptors.call import Call, current_call
from aura.kernel.interceptors.identity import acting_user
from aura.kernel.security.actor import Actor
from aura.kernel.unit_of_work import UnitOfWork
from generated.aura.events.v1 import subscriber_service_pb2 as pb
from generated.aura.events.v1 import subscriber_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from dishka import Container

    from aura.kernel.events.bus import EventBus
    from aura.kernel.events.types import EventType
    from aura.kernel.interceptors.call import Context
    from generated.aura.events.v1.event_pb2 import Event

SERVICE = pb.DESCRIPTOR.services_by_name["SubscriberService"].full_name


class UndeclaredSubscription(PermissionDenied):
    """An event came from whom it may not, or to whom it does not belong."""

    reason = "UNDECLARED_SUBSCRIPTION"

    def __init__(self, *, subscriber: str, event_type: str) -> None:
        super().__init__(
            f"module {subscriber} does not subscribe to {event_type} from this caller: events are delivered by their "
            "publishers only, to those that name them in `subscribes` in aura/modules.py"
        )


class EventUndecodable(InvalidArgument):
    """An event's data is no message of the type that its subscriber knows."""

    reason = "EVENT_UNDECODABLE"

    def __init__(self, event_type: str) -> None:
        super().__init__(f"the data of this {event_type} cannot be decoded as the message that the subscriber knows")


class Mark(UnitOfWork):
    """A unit of work of the kernel's own, beside the one that a subscriber may have left without committing."""


@dataclass(frozen=True, kw_only=True)
class HostedSubscriber:
    """A module that is hosted here, as events see it."""

    container: Container
    database: Database
    bus: EventBus


class SubscriberServicer(pb_grpc.SubscriberServiceServicer):
    """Has each event handled once: the subscriber's changes and the note of it are one transaction.

    Args:
        modules: the modules hosted here.
        publishers: which module publishes each type of event.
    """

    def __init__(self, *, modules: Mapping[str, HostedSubscriber], publishers: Mapping[str, str]) -> None:
        self._modules = modules
        self._publishers = publishers

    async def Deliver(self, request: pb.DeliverRequest, context: Context) -> pb.DeliverResponse:
        """Delivers an event."""
        call, event = current_call.get(), request.event
        assert call is not None
        module = self._modules.get(request.subscriber)
        known = module.bus.subscribers.get(event.type) if module else None
        is_publisher = call.actor.via_module == event.source == self._publishers.get(event.type)
        if module is None or not is_publisher or (known is None and not request.discarded):
            raise UndeclaredSubscription(subscriber=request.subscriber, event_type=event.type)
        call.actor = Actor(user_id=event.actor.user_id, via_module=event.source)
        acting_user.set(event.actor.user_id)
        for attempt in (1, 2):
            try:
                handled = await _deliver(request, module, known, call)
                return pb.DeliverResponse(repeated=not handled)
            except AlreadyHandled:
                return pb.DeliverResponse(repeated=True)
            except Exception as error:
                if attempt == 2 or not is_transient_conflict(error):  # noqa: PLR2004 once more, as for any call
                    raise
        raise AssertionError("the loop returns or raises")


async def _deliver(
    request: pb.DeliverRequest, module: HostedSubscriber, known: tuple[EventType, type[Any]] | None, call: Call
) -> bool:
    """Has the event handled; returns False if it had been."""
    delivery = Delivery(module=request.subscriber, event=request.event)
    if await delivery.was_handled(module.database):
        return False
    with module.container({Call: call, Delivery: delivery}) as scope:
        if known is not None and not request.discarded:
            kind, subscriber_class = known
            await scope.get(subscriber_class).handle(_decoded(request.event, kind))
        if not delivery.marked:  # the subscriber changed nothing, but has handled the event all the same
            async with scope.get(Mark) as work:
                await work.commit()
    return True


def _decoded(event: Event, kind: EventType) -> Any:
    message = kind.message_class()
    try:
        if event.data.Unpack(message):
            return message
    except DecodeError:
        pass
    raise EventUndecodable(event.type)
