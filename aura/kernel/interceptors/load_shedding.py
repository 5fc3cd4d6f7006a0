"""Refuses calls that the server could only queue."""

from __future__ import annotations

from datetime import timedelta

from aura.kernel.errors import ResourceExhausted, Unavailable
from aura.kernel.interceptors.call import Call
from aura.kernel.interceptors.chain import Interceptor

RETRY_AFTER = timedelta(seconds=1)


class Overloaded(ResourceExhausted):
    """The server has as many calls under way as it can serve."""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__("the server has too many calls under way; try again", retry_after=RETRY_AFTER)


class Stopping(Unavailable):
    """The server takes no new calls, for it is about to stop."""

    reason = "SERVER_STOPPING"
    never_ran = True

    def __init__(self) -> None:
        super().__init__("the server is stopping; try again", retry_after=RETRY_AFTER)


class LoadShedding(Interceptor):
    """Admits a number of calls from outside at a time; what modules call on their behalf is part of them."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._admitted: set[int] = set()
        self._closed = False

    def close(self) -> None:
        """Admits no calls from now on."""
        self._closed = True

    async def on_call(self, call: Call) -> None:
        """Counts the call, or refuses it."""
        if self._closed and not call.in_process:
            raise Stopping
        if call.actor.via_module is not None:
            return
        if len(self._admitted) >= self._limit:
            raise Overloaded
        self._admitted.add(id(call))

    def on_end(self, call: Call, error: BaseException | None) -> None:
        """Makes room for another call."""
        del error
        self._admitted.discard(id(call))
