"""One direction of a stream: a queue of messages with the flow control of an HTTP/2 stream."""

from __future__ import annotations

import asyncio
from collections import deque

WINDOW_BYTES = 4 * 1024 * 1024
"""What may lie unread before the writer waits: as much as gRPC was seen to take over loopback TCP."""

_OVERHEAD_BYTES = 64  # what a message takes besides its own bytes; so empty ones fill a window too
_BURST = 32


class Pipe:
    """Carries serialised messages from one writer's side to one reader's side.

    A writer that gets ahead of its reader by more than a window waits; and whoever moves many messages without ever
    waiting gives way to other tasks now and then.
    """

    __slots__ = ("_burst", "_closed", "_messages", "_readers", "_unread", "_writers")

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._unread = 0
        self._closed = False
        self._burst = 0
        self._readers: deque[asyncio.Future[None]] = deque()
        self._writers: deque[asyncio.Future[None]] = deque()

    @property
    def drained(self) -> bool:
        """Whether nothing more will come out."""
        return self._closed and not self._messages

    async def put(self, message: bytes) -> None:
        """Add a message; return once there is room for the next. After `close` it is dropped."""
        if not self._closed:
            self._messages.append(message)
            self._unread += len(message) + _OVERHEAD_BYTES
            _wake(self._readers)
        if self._unread > WINDOW_BYTES:
            await _wait(self._writers)
        elif self._gives_way():
            await asyncio.sleep(0)

    async def get(self) -> bytes | None:
        """Return the next message, or None at the end."""
        if self._messages and self._gives_way():
            await asyncio.sleep(0)
        while not self._messages:
            if self._closed:
                return None
            await _wait(self._readers)
        message = self._messages.popleft()
        self._unread -= len(message) + _OVERHEAD_BYTES
        if self._unread <= WINDOW_BYTES:
            _wake_all(self._writers)
        return message

    def close(self) -> None:
        """Let readers have what is here and then the end."""
        self._closed = True
        _wake_all(self._readers)

    def abandon(self) -> None:
        """Drop what is here; nobody waits any longer on either side."""
        self._messages.clear()
        self._unread = 0
        self.close()
        _wake_all(self._writers)

    def _gives_way(self) -> bool:
        self._burst = (self._burst + 1) % _BURST
        return self._burst == 0


async def _wait(line: deque[asyncio.Future[None]]) -> None:
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    line.append(turn)
    try:
        await turn
    except asyncio.CancelledError:
        if turn in line:
            line.remove(turn)
        elif not turn.cancelled():  # woken and cancelled at once: somebody else must have the turn
            _wake(line)
        raise


def _wake(line: deque[asyncio.Future[None]]) -> None:
    while line:
        turn = line.popleft()
        if not turn.done():
            turn.set_result(None)
            return


def _wake_all(line: deque[asyncio.Future[None]]) -> None:
    while line:
        _wake(line)
