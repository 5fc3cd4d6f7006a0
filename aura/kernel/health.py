"""Health: of what is hosted here, and of what is hosted elsewhere, as other processes tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio

ASKED = ("aura-asked", "once")
"""Marks a check that comes from another process, which is answered from what this one knows: never passed on again."""

POLL_SECONDS = 1.0
WATCHERS = 512
"""How many watch at a time: anybody may, and each costs memory for as long as it likes."""
SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
ASK_SECONDS = 1.0

ServingStatus = Any  # an enum of the package, which has no types
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class PlatformHealth(aio.HealthServicer):  # type: ignore[misc] # the package has no types
    """Answers for the whole platform; ends its watches when the server drains, for they would hold up the stop.

    Args:
        elsewhere: for each service that is hosted in another process, what returns the channel to that.
    """

    def __init__(self, elsewhere: Mapping[str, Callable[[], grpc.aio.Channel]]) -> None:
        super().__init__()
        self._elsewhere = elsewhere
        self._drained = asyncio.Event()
        self._watchers = 0
        self._hosted: dict[str, None] = {}

    async def status_of(self, service: str) -> ServingStatus:
        """Returns the status of a service of the platform; a process that cannot be reached serves nothing."""
        return (await self._ask(service)).status

    async def is_serving(self) -> bool:
        """Returns whether this process serves what it hosts."""
        return bool((await super().Check(health_pb2.HealthCheckRequest(), None)).status == SERVING)

    async def end_watches(self) -> None:
        """Ends the streams of all watchers, once they have been told that nothing is served any more."""
        await asyncio.sleep(0.01)
        self._drained.set()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 as in the contract
        """Returns the status of a service, or of this process."""
        if request.service in self._elsewhere and ASKED not in map(tuple, context.invocation_metadata() or ()):
            return await self._ask(request.service, context.time_remaining())
        return await super().Check(request, context)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 as in the contract
        """Returns the status of every service of the platform."""
        del request, context
        names = [*self._hosted, *self._elsewhere]
        answers = await asyncio.gather(*map(self._ask, names))
        return health_pb2.HealthListResponse(statuses=dict(zip(names, answers, strict=True)))

    async def set(self, service: str, status: ServingStatus) -> None:
        """Sets the status of a service that is hosted here, or of this process."""
        self._hosted.setdefault(service)
        await super().set(service, status)

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: N802 as in the contract
        """Sends the status of a service now and whenever it changes, until the server drains."""
        if self._watchers >= WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch this server's health; ask instead")
        elsewhere = request.service in self._elsewhere
        watching = self._watch_elsewhere(request.service, context) if elsewhere else super().Watch(request, context)
        watch = asyncio.create_task(watching)
        drained = asyncio.create_task(self._drained.wait())
        self._watchers += 1
        try:
            await asyncio.wait([watch, drained], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._watchers -= 1
            drained.cancel()
            watch.cancel()
            await asyncio.wait([watch])
        if not watch.cancelled():
            watch.result()

    async def _watch_elsewhere(self, service: str, context: Any) -> None:
        last = None
        while True:
            answer = await self._ask(service)
            if answer.status != last:
                last = answer.status
                await context.write(answer)
            await asyncio.sleep(POLL_SECONDS)

    async def _ask(self, service: str, remaining: float | None = None) -> Any:
        request = health_pb2.HealthCheckRequest(service=service)
        if service not in self._elsewhere:
            return await super().Check(request, None)
        try:
            stub = health_pb2_grpc.HealthStub(self._elsewhere[service]())
            timeout = ASK_SECONDS if remaining is None else min(ASK_SECONDS, remaining)
            return await stub.Check(request, timeout=timeout, metadata=(ASKED,))
        except grpc.aio.AioRpcError:
            return health_pb2.HealthCheckResponse(status=NOT_SERVING)
