"""One request: its message or messages, the call that it becomes, and whether its client is still there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from aura.kernel.gateway.bodies import (
    BodyLimits,
    BodyRoom,
    Disconnected,
    Receive,
    read_body,
    read_lines,
    require_json,
)
from aura.kernel.gateway.headers import RequestHeaders
from aura.kernel.gateway.refusals import Refusal
from aura.kernel.gateway.route import Route
from aura.kernel.gateway.router import GET, HEAD

LARGE_BYTES = 64 * 1024
"""From this size on a body is read by another thread, so that the event loop has its turns meanwhile."""


@dataclass(kw_only=True, eq=False)
class Exchange:
    """One request and its call.

    Attributes:
        refusal: What was wrong with one of its requests, where they are a stream.
        gone: Whether the client is gone.
        stopping: Whether the gateway ends its stream, because it stops.
    """

    route: Route
    segments: Sequence[str]
    query: str
    verb: str
    headers: RequestHeaders
    receive: Receive
    limits: BodyLimits
    room: BodyRoom
    refusal: Refusal | None = None
    gone: bool = False
    stopping: bool = False
    body_is_read: bool = field(init=False)
    _call: Any = None
    _watch: asyncio.TimerHandle | asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.body_is_read = not self.headers.has_body

    async def request(self) -> Message:
        """Returns the one request. Raises Refusal and Disconnected."""
        with self.room.lent() as take:
            body = b""
            if not self.body_is_read:
                if self.route.reader.takes_body:
                    require_json(self.headers)
                body = await read_body(self.receive, self.headers, self.limits, take)
                self.body_is_read = True
            request = await self._read(body)
        self.route.preconditions.apply(self.headers, request)
        return request

    async def requests(self) -> AsyncIterator[Message]:
        """Yields one request for each line of the body; what is wrong with them is kept as `refusal`."""
        number = 0
        try:
            require_json(self.headers)
            async for line in read_lines(self.receive, self.headers, self.limits):
                number += 1
                yield await self._read(line)
            self.body_is_read = True
            self._begin_watching()
        except Disconnected:
            self.gone = True
            raise
        except Refusal as refusal:
            self.refusal = refusal
            refusal.status.message = f"line {number}: {refusal.status.message}" if number else refusal.status.message
            raise

    def knows(self, tag: str) -> bool:
        """Returns whether the client says that it has the answer with this entity tag already (RFC 9110, 13.1.2)."""
        known = self.headers.get("if-none-match")
        if not known or self.verb not in {GET, HEAD}:
            return False
        return known.strip() == "*" or tag in (part.strip().removeprefix("W/") for part in known.split(","))

    def watch(self, call: Any, after: float) -> None:
        """Has the call cancelled when the client goes, from some seconds on, or from the end of its requests."""
        self._call = call
        if not self.route.streams_requests:
            self._watch = asyncio.get_running_loop().call_later(after, self._begin_watching)

    def stop_watching(self) -> None:
        """Ends that."""
        if self._watch is not None:
            self._watch.cancel()

    def stop(self) -> None:
        """Ends a stream of responses, because the gateway stops."""
        if self.route.streams_responses and self._call is not None:
            self.stopping = True
            self._call.cancel()

    async def _read(self, body: bytes) -> Message:
        arguments = (self.segments, self.query, body)
        if len(body) < LARGE_BYTES:
            return self.route.reader.read(*arguments)
        return await asyncio.to_thread(self.route.reader.read, *arguments)

    def _begin_watching(self) -> None:
        self._watch = asyncio.create_task(self._cancel_when_gone())

    async def _cancel_when_gone(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self._call.cancel()
