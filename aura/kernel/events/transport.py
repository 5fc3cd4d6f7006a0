"""How an event gets to the module that subscribes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aura.kernel.interceptors.request_id import REQUEST_ID_METADATA
from aura.kernel.interceptors.trace_context import TRACE_PARENT
from generated.aura.events.v1 import subscriber_service_pb2 as pb
from generated.aura.events.v1.subscriber_service_pb2_grpc import SubscriberServiceStub

if TYPE_CHECKING:
    from aura.kernel.registry import ServiceRegistry
    from generated.aura.events.v1.event_pb2 import Event


class EventTransport(Protocol):
    """Carries events from publishers to subscribers."""

    async def deliver(self, subscriber: str, event: Event, *, discarded: bool, timeout: float) -> None:
        """Returns once a module has handled an event.

        Raises:
            AuraError: It has not; whether it will have is not known.
        """
        ...


class GrpcEventTransport:
    """Calls `SubscriberService.Deliver` of the process that hosts the subscriber, be it this one or another."""

    def __init__(self, *, module: str, registry: ServiceRegistry) -> None:
        self._module = module
        self._registry = registry
        self._stubs: dict[str, Any] = {}

    async def deliver(self, subscriber: str, event: Event, *, discarded: bool, timeout: float) -> None:
        """Calls it, within the trace of what caused the event."""
        if subscriber not in self._stubs:
            channel = self._registry.event_channel(publisher=self._module, subscriber=subscriber)
            self._stubs[subscriber] = SubscriberServiceStub(channel)
        metadata = [(TRACE_PARENT, event.trace_parent), (REQUEST_ID_METADATA, event.request_id)]
        request = pb.DeliverRequest(subscriber=subscriber, event=event, discarded=discarded)
        await self._stubs[subscriber].Deliver(
            request, timeout=timeout, metadata=[(key, value) for key, value in metadata if value]
        )
