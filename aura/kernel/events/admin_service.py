"""Serves `aura.events.v1.EventAdminService`: for the modules hosted here, and by way of the other processes for all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from aura.kernel.errors import NotFound
from generated.aura.events.v1 import event_admin_service_pb2 as pb
from generated.aura.events.v1 import event_admin_service_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from aura.kernel.events.log import EventLog
    from aura.kernel.events.relay import Relay
    from aura.kernel.interceptors.call import Context
    from aura.kernel.peers import Peers
    from generated.aura.events.v1.event_pb2 import Event

SERVICE = pb.DESCRIPTOR.services_by_name["EventAdminService"].full_name
TAIL_SECONDS = 0.25
REMEMBERED_EVENTS = 10_000


class EventNotFound(NotFound):
    """No event has this id, or it is kept no longer."""

    reason = "EVENT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no event with this id, or it was handled and is kept no longer")


class EventAdminServicer(pb_grpc.EventAdminServiceServicer):
    """Reads and repairs the outboxes of all modules."""

    def __init__(self, *, logs: Sequence[EventLog], relays: Mapping[str, Relay], peers: Peers) -> None:
        self._logs = logs
        self._relays = relays
        self._peers = peers

    async def GetEventLag(self, request: pb.GetEventLagRequest, context: Context) -> pb.GetEventLagResponse:
        """Tells how far each subscription lags behind."""
        answers = await self._peers.ask("GetEventLag", request)
        found = [each for answer in answers for each in answer.subscriptions]
        found += [each for log in self._logs for each in await log.lag()]
        return pb.GetEventLagResponse(subscriptions=sorted(found, key=lambda each: (each.source, each.subscriber)))

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Context) -> pb.ListDeadLettersResponse:
        """Lists dead letters."""
        answers = await self._peers.ask("ListDeadLetters", request)
        found = [each for answer in answers for each in answer.dead_letters]
        found += [each for log in self._logs for each in await log.dead_letters(request.filter)]
        return pb.ListDeadLettersResponse(
            dead_letters=sorted(found, key=lambda each: (each.dead_time.seconds, each.dead_time.nanos))
        )

    async def GetEvent(self, request: pb.GetEventRequest, context: Context) -> pb.EventDetails:
        """Returns an event."""
        for log in self._logs:
            if (found := await log.details(request.event_id)) is not None:
                return found
        for process in self._peers.to_ask:
            with suppress(NotFound):
                answer: pb.EventDetails = await self._peers.call(process, "GetEvent", request)
                return answer
        raise EventNotFound

    async def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, context: Context
    ) -> pb.ReplayDeadLettersResponse:
        """Has dead letters delivered again."""
        answers = await self._peers.ask("ReplayDeadLetters", request)
        count = sum([await log.replay(request.filter) for log in self._logs])
        self._wake()
        return pb.ReplayDeadLettersResponse(count=count + sum(answer.count for answer in answers))

    async def DiscardDeadLetters(
        self, request: pb.DiscardDeadLettersRequest, context: Context
    ) -> pb.DiscardDeadLettersResponse:
        """Passes over dead letters."""
        answers = await self._peers.ask("DiscardDeadLetters", request)
        count = sum([await log.discard(request.filter) for log in self._logs])
        self._wake()
        return pb.DiscardDeadLettersResponse(count=count + sum(answer.count for answer in answers))

    async def TailEvents(self, request: pb.TailEventsRequest, context: Context) -> AsyncIterator[Event]:
        """Sends events as they are published."""
        found: asyncio.Queue[Event] = asyncio.Queue(maxsize=REMEMBERED_EVENTS)
        sources = [*self._peers.streams("TailEvents", request), *(_follow(log, request) for log in self._logs)]
        following = [asyncio.create_task(_pour(source, found)) for source in sources]
        next_one: asyncio.Task[Event] | None = None
        try:
            while True:
                next_one = asyncio.create_task(found.get())
                done, _ = await asyncio.wait([next_one, *following], return_when=asyncio.FIRST_COMPLETED)
                if next_one not in done:
                    next_one.cancel()
                    for ended in done:
                        ended.result()  # raises what ended it
                    return
                yield next_one.result()
        finally:
            for task in (*following, *([next_one] if next_one else [])):
                task.cancel()

    def _wake(self) -> None:
        for relay in self._relays.values():
            relay.wake()


async def _follow(log: EventLog, request: pb.TailEventsRequest) -> AsyncIterator[Event]:
    """Yields a module's events from now on; each once, though those of a moment are looked at again and again."""
    seen = dict.fromkeys(event.event_id for event in await log.since(0, request))
    while True:
        for event in await log.since(TAIL_SECONDS, request):
            if event.event_id not in seen:
                seen[event.event_id] = None
                yield event
        while len(seen) > REMEMBERED_EVENTS:
            del seen[next(iter(seen))]
        await asyncio.sleep(TAIL_SECONDS)


async def _pour(source: AsyncIterator[Event], into: asyncio.Queue[Event]) -> None:
    async for event in source:
        await into.put(event)
