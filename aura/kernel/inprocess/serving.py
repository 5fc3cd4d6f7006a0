"""Running a handler: interceptors, the four kinds of method, and exceptions to statuses, as grpc.aio's server does."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from aura.kernel.inprocess.context import ServicerContext, SynchronousContext
from aura.kernel.inprocess.exchange import SERVING, Exchange
from aura.kernel.inprocess.threads import blocking_requests, responses_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from concurrent.futures import Executor

    from aura.kernel.inprocess.metadata import Metadatum

    Handler = grpc.RpcMethodHandler[Any, Any]
    FindHandler = Callable[[grpc.HandlerCallDetails], "Handler | None"]

_LOGGER = logging.getLogger(__name__)


class HandlerCallDetails(grpc.HandlerCallDetails):
    """What server interceptors and generic handlers are told of a call."""

    def __init__(self, method: str, invocation_metadata: tuple[Metadatum, ...]) -> None:
        self.method = method
        self.invocation_metadata = invocation_metadata


async def serve(
    exchange: Exchange,
    find: FindHandler,
    interceptors: Sequence[grpc.aio.ServerInterceptor],
    thread_pool: Executor | None,
) -> None:
    """Handle one call to its end; whatever happens becomes its status."""
    SERVING.set(exchange.scope)
    context = ServicerContext(exchange)
    try:
        details = HandlerCallDetails(exchange.method, exchange.metadata)
        handler = await _intercepted(interceptors, find, details) if interceptors else find(details)
        if handler is None:
            context.send_status(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        else:
            context.use(handler)
            await _run(handler, exchange, context, thread_pool)
    except asyncio.CancelledError:
        if not exchange.lost and not exchange.status_sent:  # its own doing; grpc.aio would leave the client waiting
            context.send_status(grpc.StatusCode.CANCELLED, "")
    except Exception as error:  # noqa: BLE001  it is logged and becomes the status
        _fail(exchange, context, error)
    else:
        if context.aborted is not None:
            _LOGGER.error("Abort error of %s unexpectedly suppressed", exchange.method)
    finally:
        context.run_done_callbacks()
        exchange.handler_returned()


def _fail(exchange: Exchange, context: ServicerContext, error: Exception) -> None:
    if error is context.aborted:
        error.__traceback__ = None  # it leads back to the context: a cycle
        return
    if exchange.lost and isinstance(error, grpc.aio.InternalError):
        return  # it wrote to a client that was gone
    _LOGGER.error(
        "Unexpected [%s] raised by servicer method [%s]", type(error).__name__, exchange.method, exc_info=error
    )
    if not exchange.status_sent:
        code = context.code()
        context.send_status(
            grpc.StatusCode.UNKNOWN if code in (None, grpc.StatusCode.OK, 0) else None,
            f"Unexpected {type(error)}: {error}",
        )


async def _intercepted(
    interceptors: Sequence[grpc.aio.ServerInterceptor], find: FindHandler, details: grpc.HandlerCallDetails
) -> Handler | None:
    if not interceptors:
        return find(details)
    continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]
    continuation = partial(_intercepted, interceptors[1:], find)
    return await interceptors[0].intercept_service(continuation, details)


async def _run(handler: Handler, exchange: Exchange, context: ServicerContext, thread_pool: Executor | None) -> None:
    behaviour: Any
    if handler.request_streaming:
        behaviour = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        behaviour = handler.unary_stream if handler.response_streaming else handler.unary_unary
    is_asynchronous = _is_asynchronous(behaviour)
    request: Any
    if handler.request_streaming:
        request = _Requests(context)
        if not is_asynchronous:
            request = blocking_requests(context, exchange.loop)
    else:
        request = await context.read()
        if request is grpc.aio.EOF:
            context.send_status(grpc.StatusCode.INTERNAL, "Missing request message")
            return
    if handler.response_streaming:
        await _respond_with_stream(behaviour, request, exchange, context, thread_pool)
    else:
        await _respond_with_message(behaviour, request, exchange, context, thread_pool, is_asynchronous=is_asynchronous)


def _is_asynchronous(behaviour: Any) -> bool:
    code = getattr(behaviour, "__code__", None)  # looked at first because inspect takes its time
    if code is not None and code.co_flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        return True
    return inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)


async def _respond_with_message(
    behaviour: Any,
    request: Any,
    exchange: Exchange,
    context: ServicerContext,
    thread_pool: Executor | None,
    *,
    is_asynchronous: bool,
) -> None:
    if is_asynchronous:
        response = await behaviour(request, context)
    else:
        synchronous = SynchronousContext(context, exchange.loop)
        response = await exchange.loop.run_in_executor(thread_pool, behaviour, request, synchronous)
        for callback in synchronous.callbacks:
            callback()
    if context.code() in (None, grpc.StatusCode.OK, 0):
        await context.write(response)
    else:
        context.raise_if_over()
    context.send_status()


async def _respond_with_stream(
    behaviour: Any, request: Any, exchange: Exchange, context: ServicerContext, thread_pool: Executor | None
) -> None:
    if inspect.iscoroutinefunction(behaviour):
        await behaviour(request, context)
    else:
        if inspect.isasyncgenfunction(behaviour):
            responses = behaviour(request, context)
        else:
            synchronous = SynchronousContext(context, exchange.loop)
            responses = responses_of(behaviour(request, synchronous), exchange.loop, thread_pool)
        async with aclosing(responses):
            async for response in responses:
                await context.write(response)
    context.raise_if_over()
    context.send_status()


class _Requests:
    """A stream's requests as an asynchronous iterator, beside `ServicerContext.read`."""

    def __init__(self, context: ServicerContext) -> None:
        self._context = context

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        message = await self._context.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message
