"""One call as both of its ends see it, and the rule that it ends once."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple, Protocol

import grpc

from aura.kernel.inprocess.metadata import InvalidMetadataError, Metadatum, on_the_wire
from aura.kernel.inprocess.pipe import Pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_LOGGER = logging.getLogger(__name__)
_OVERRUN_SECONDS = 1.0
_DEEPEST_INLINE_CALL = 16


class Scope:
    """What a call passes on to the calls that are made while it is handled."""

    __slots__ = ("deadline", "depth", "ended")

    def __init__(self, deadline: float | None, depth: int) -> None:
        self.deadline = deadline
        self.depth = depth
        self.ended = False


SERVING: ContextVar[Scope | None] = ContextVar("inprocess_serving", default=None)
"""The scope that the current code runs in: the calls it makes get no more time than that of its own call has left."""


class Status(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode
    details: str = ""
    trailing_metadata: tuple[Metadatum, ...] = ()


DEADLINE_EXCEEDED = Status(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
INVALID_METADATA = Status(grpc.StatusCode.INTERNAL, "Invalid metadata")


class Host(Protocol):
    """What an exchange asks of the server that it goes to."""

    maximum_message_bytes: int

    @property
    def is_stopping(self) -> bool:
        """Whether no call is accepted any longer."""

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse calls from any other event loop than the first."""

    def accept(self, exchange: Exchange) -> None:
        """Start handling the call, or end it."""

    def release(self, exchange: Exchange) -> None:
        """Forget a call whose handler has returned."""

    def gives_way(self) -> bool:
        """Return whether, after so many calls that began at once, it is time to let other tasks run."""

    def count_overrun(self, exchange: Exchange) -> None:
        """Take note that a handler ignores that its call is over."""


class Exchange:
    """One call: what has been sent each way, its deadline, its handler's task and its one terminal status.

    The client's end calls `begin_now`, `receive_response`, `terminated` and `finish`; the server's end
    `receive_request`, `send_initial_metadata`, `send_response` and `send_status`. A unary side has a message where a
    streaming one has a pipe.
    """

    __slots__ = (
        "_beginning",
        "_callbacks",
        "_handler",
        "_headers_waiters",
        "_last_status",
        "_overrun",
        "_request",
        "_status_waiters",
        "_timer",
        "auth_context",
        "deadline",
        "host",
        "initial_metadata",
        "locally_cancelled",
        "loop",
        "metadata",
        "method",
        "peer",
        "requests",
        "response",
        "responses",
        "scope",
        "status",
        "status_sent",
    )

    def __init__(
        self,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        *,
        method: str,
        metadata: tuple[Metadatum, ...],
        deadline: float | None,
        auth_context: Mapping[str, Iterable[bytes]],
        peer: str,
        request: bytes | None,
        streams_responses: bool,
    ) -> None:
        self.loop = loop
        self.method = method
        self.metadata = metadata
        self.auth_context = auth_context
        self.peer = peer
        self.requests = Pipe() if request is None else None
        self.response: bytes | None = None
        self.responses = Pipe() if streams_responses else None
        self.initial_metadata: tuple[Metadatum, ...] | None = None
        self.status: Status | None = None
        """The terminal status as the client sees it."""
        self.status_sent = False
        """Whether the server has said how the call ends; the client may still have messages to read before that."""
        self.locally_cancelled = False
        parent = SERVING.get()
        if parent is None or parent.ended:
            self.scope = Scope(deadline, 0)
        elif deadline is None or (parent.deadline is not None and parent.deadline < deadline):
            self.scope = Scope(parent.deadline, parent.depth + 1)
        else:
            self.scope = Scope(deadline, parent.depth + 1)
        self.deadline = self.scope.deadline
        self.host = host
        self._request = request
        self._last_status: Status | None = None
        self._handler: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._overrun: asyncio.TimerHandle | None = None
        self._status_waiters: list[asyncio.Future[None]] = []
        self._headers_waiters: list[asyncio.Future[None]] = []
        self._callbacks: list[Callable[[], object]] = []
        self._beginning: asyncio.Handle | None = loop.call_soon(self.begin)

    # The client's end

    def begin_now(self) -> None:
        """Begin before the loop's next turn, because the client waits for the call.

        Not while the client handles an exception, which would become the context of those that the handler raises; not
        in calls within calls without end, which would exhaust the stack; and not every time in a row of calls, which
        might never let other tasks run.
        """
        if (
            self._beginning is not None
            and self.scope.depth < _DEEPEST_INLINE_CALL
            and sys.exception() is None
            and not self.host.gives_way()
        ):
            self.begin()

    def begin(self) -> None:
        """Hand the call to the server; the loop does so on its next turn, unless `begin_now` has."""
        if self._beginning is None:
            return
        self._beginning.cancel()
        self._beginning = None
        if self.deadline is not None and self.deadline <= self.loop.time():
            self.finish(DEADLINE_EXCEEDED)
        else:
            self.host.accept(self)

    def handled_by(self, handler: asyncio.Task[None]) -> None:
        """Remember the handler's task, to cancel it with the call; it may have taken its first step, or its last."""
        if self.scope.ended:
            return
        self._handler = handler
        if self.status is not None:
            self._cancel_handler()
        elif self.deadline is not None:
            self._timer = self.loop.call_at(self.deadline, self.finish, DEADLINE_EXCEEDED)

    async def receive_response(self) -> bytes | None:
        """Return the next message, or None when the call is over."""
        assert self.responses is not None
        message = await self.responses.get()
        if message is None:
            return None
        if not self._fits(message, "CLIENT"):
            return None
        self._deliver_status()
        return message

    async def terminated(self) -> Status:
        """Wait for the terminal status."""
        while self.status is None:
            await self._wait(self._status_waiters)
        return self.status

    async def headers(self) -> tuple[Metadatum, ...]:
        """Wait for the initial metadata; a call that ended without has none."""
        while self.initial_metadata is None:
            await self._wait(self._headers_waiters)
        return self.initial_metadata

    def when_done(self, callback: Callable[[], object]) -> None:
        """Call back at the end, or now if that has passed."""
        if self.status is None:
            self._callbacks.append(callback)
        else:
            callback()

    def cancel(self, details: str) -> bool:
        """End the call from the client's side; False if it had ended."""
        if self.status is not None:
            return False
        self.locally_cancelled = True
        return self.finish(Status(grpc.StatusCode.CANCELLED, details))

    def finish(self, status: Status) -> bool:
        """Let the call end in this way unless it has ended; its handler, if it still runs, is cancelled."""
        if self.status is not None:
            return False
        self.status = status
        if self._beginning is not None:
            self._beginning.cancel()
            self._beginning = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.initial_metadata is None:
            self.initial_metadata = ()
            _wake(self._headers_waiters)
        for pipe in (self.requests, self.responses):
            if pipe is not None:
                pipe.abandon()
        _wake(self._status_waiters)
        if not self.status_sent:
            self._cancel_handler()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:
                _LOGGER.exception("Done callback of %s raised", self.method)
        return True

    # The server's end

    @property
    def lost(self) -> bool:
        """Whether the call ended before the server said how: what the server still sends reaches nobody."""
        return self.status is not None and not self.status_sent

    async def receive_request(self) -> bytes | None:
        """Return the next message, or None after the client's last.

        Raises CancelledError when the call is over, so that half a stream is never taken for a whole one.
        """
        if self.requests is not None:
            message = await self.requests.get()
        else:
            message, self._request = self._request, None
        if self.lost or (message is not None and not self._fits(message, "SERVER")):
            raise asyncio.CancelledError
        return message

    def send_initial_metadata(self, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Send what precedes the first message; False if the call is lost."""
        try:
            initial = on_the_wire(metadata)
        except InvalidMetadataError:
            self.finish(INVALID_METADATA)
            return False
        if self.lost:
            return False
        self.initial_metadata = initial
        _wake(self._headers_waiters)
        return True

    async def send_response(self, message: bytes) -> bool:
        """Send a message and wait for room for the next; False if the call is lost."""
        if self.lost:
            return False
        if self.initial_metadata is None:
            self.initial_metadata = ()
            _wake(self._headers_waiters)
        if self.responses is None:
            self.response = message
        else:
            await self.responses.put(message)
        return not self.lost

    def send_status(self, status: Status) -> None:
        """Say how the call ends; the client hears it after the messages before it."""
        if self.deadline is not None and self.deadline <= self.loop.time():
            status = DEADLINE_EXCEEDED  # the loop was too busy for the timer
        self.status_sent = True
        if self.status is not None:
            return
        if self.requests is not None:
            self.requests.abandon()
        self._last_status = status
        if self.responses is not None:
            self.responses.close()
        elif (
            status.code is grpc.StatusCode.OK and self.response is not None and not self._fits(self.response, "CLIENT")
        ):
            return
        self._deliver_status()

    def handler_returned(self) -> None:
        """Take note that no code of the server runs for this call any longer."""
        self.scope.ended = True
        self._handler = None
        if self._overrun is not None:
            self._overrun.cancel()
        self.host.release(self)

    def _deliver_status(self) -> None:
        if self._last_status is not None and (self.responses is None or self.responses.drained):
            self.finish(self._last_status)

    def _fits(self, message: bytes, receiver: str) -> bool:
        limit = self.host.maximum_message_bytes
        if len(message) <= limit:
            return True
        details = f"{receiver}: Received message larger than max ({len(message)} vs. {limit})"
        self.finish(Status(grpc.StatusCode.RESOURCE_EXHAUSTED, details))
        return False

    def _cancel_handler(self) -> None:
        if self._handler is not None:
            self._handler.cancel()
            self._overrun = self.loop.call_later(_OVERRUN_SECONDS, self.host.count_overrun, self)

    async def _wait(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter: asyncio.Future[None] = self.loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in waiters:
                waiters.remove(waiter)


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
