"""Ends unary calls whose request does not come."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import grpc

from aura.kernel.errors import DeadlineExceeded
from aura.kernel.interceptors.chain import Handler, MalformedRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aura.kernel.interceptors.call import Context


class RequestOverdue(DeadlineExceeded):
    """The call began, but its request did not arrive."""

    reason = "REQUEST_OVERDUE"

    def __init__(self) -> None:
        super().__init__("the request of this call did not arrive in time; send it together with the call")


class FirstMessage:
    """Waits for the request of unary calls in grpcio's place, which does so for as long as the connection stands.

    On the wire, unary calls are streams of one message. So they are taken as such, and the chain behind is handed the
    error where there is no request. It is for the network only: in-process, calls come with their request.

    Args:
        seconds: how long it may take to arrive.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[asyncio.Task[Any], float] = {}
        """When each waiting call is overdue, the first one first: a timer for each would cost more than the wait."""
        self._timer: asyncio.TimerHandle | None = None

    def before(self, handler: Handler) -> Handler:
        """Returns what waits for the request, and then hands it to a method's handler."""
        if handler.request_streaming:
            return handler
        if handler.response_streaming:
            make, behavior = grpc.stream_stream_rpc_method_handler, self._before_stream(handler.unary_stream)
        else:
            make, behavior = grpc.stream_unary_rpc_method_handler, self._before_unary(handler.unary_unary)
        return make(
            behavior,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _before_unary(self, behavior: Any) -> Any:
        async def serve(_: Any, context: Context) -> Any:
            return await behavior(await self._request(context), context)

        return serve

    def _before_stream(self, behavior: Any) -> Any:
        async def serve(_: Any, context: Context) -> AsyncIterator[Any]:
            async with aclosing(behavior(await self._request(context), context)) as responses:
                async for response in responses:
                    yield response

        return serve

    async def _request(self, context: Context) -> Any:
        """Returns the request, or the error that stands for it."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._due[task] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)
        try:
            request = await context.read()
        except asyncio.CancelledError:
            if task not in self._due and task.uncancel() == 0:
                return RequestOverdue()
            raise
        finally:
            self._due.pop(task, None)
        return MalformedRequest() if request is grpc.aio.EOF else request

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancels the reading of those calls that have waited for too long."""
        now = loop.time()
        for task, _ in list(takewhile(lambda waiting: waiting[1] <= now, self._due.items())):
            del self._due[task]
            task.cancel()
        following = next(iter(self._due.values()), None)
        self._timer = None if following is None else loop.call_at(following, self._look, loop)
