"""The gateway: an ASGI application that makes gRPC calls of HTTP requests, as `google.api.http` says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import code_pb2, status_pb2

from aura.kernel.gateway.answer import WHERE_ENCRYPTED, Answer, Send
from aura.kernel.gateway.bindings import bindings_of
from aura.kernel.gateway.bodies import BodyLimits, BodyRoom, Disconnected, Receive
from aura.kernel.gateway.cross_origin import CrossOrigin
from aura.kernel.gateway.exchange import Exchange
from aura.kernel.gateway.headers import PREFIX, TRAILER_PREFIX, Metadata, RequestHeaders, response_headers
from aura.kernel.gateway.refusals import BadRequest, PathTooLong, Refusal, TooManyRequests
from aura.kernel.gateway.responses import result_line, status_of
from aura.kernel.gateway.route import ChannelFor, Route
from aura.kernel.gateway.router import HEAD, OPTIONS, Router

Scope: TypeAlias = MutableMapping[str, Any]
Admit: TypeAlias = Callable[[Metadata], float]
"""Says in how many seconds a client may come again, by the metadata of its call; 0: it may now."""

LONGEST_PATH = 8192
CALL_SECONDS = 60.0
"""How long a unary call may take, if its caller does not say."""
WATCH_AFTER_SECONDS = 0.05
"""How long a unary call runs before it is looked whether its client is still there."""
HEADERS_AFTER_SECONDS = 1.0
"""How long a stream's headers wait for its first message, or for the error that would make another HTTP status."""
STOPPING = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="the server is about to stop; try again")

log = structlog.get_logger()

_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


class Gateway:
    """Serves the methods of services that have a `google.api.http` option, by HTTP and JSON.

    Args:
        services: the services' descriptors.
        channel_for: gives the channel to a service, by its full name. Each call says in `x-forwarded-for` who called.
        limits: what bodies may take.
        metadata_bytes: how much metadata a call may come with, as gRPC counts it.
        timeout: how many seconds a unary call may take whose caller does not say it.
        forged: beginnings of metadata that nobody may bring in from outside; the headers are dropped.
        origins: the origins whose pages may call; `*` is all.
        admit: says whether a client may come, before anything is read of what it sends.

    Raises:
        BindingError: An option cannot be followed.
        AmbiguousRoutes: Two methods are for the same requests.
    """

    def __init__(
        self,
        services: Iterable[ServiceDescriptor],
        channel_for: ChannelFor,
        *,
        limits: BodyLimits | None = None,
        metadata_bytes: int = 16 * 1024,
        timeout: float = CALL_SECONDS,
        forged: Sequence[str] = (),
        origins: Iterable[str] = (),
        admit: Admit = lambda _: 0.0,
    ) -> None:
        self.bindings = bindings_of(services)
        self._router = Router((binding, Route(binding, channel_for)) for binding in self.bindings)
        self._limits = limits or BodyLimits(size=4 * 1024 * 1024, seconds=20.0)
        self._room = BodyRoom(self._limits.together)
        self._metadata_bytes = metadata_bytes
        self._timeout = timeout
        self._forged = tuple(forged)
        self._cross_origin = CrossOrigin(origins)
        self._admit = admit
        self._exchanges: set[Exchange] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, as ASGI has it."""
        if scope["type"] != "http":
            return
        headers = RequestHeaders(scope["headers"], forged=self._forged)
        common = self._cross_origin.headers(headers.get("origin"))
        common += WHERE_ENCRYPTED if scope.get("scheme") == "https" else []
        answer = Answer(send, scope["method"], headers, common)
        try:
            await self._serve(scope, receive, headers, answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except Disconnected:
            pass
        except Exception:
            log.exception("the gateway failed")
            await answer.fail(status_pb2.Status(code=code_pb2.INTERNAL, message="an internal error occurred"), [])

    def stop(self) -> None:
        """Ends all streams; their clients are told that they may try again."""
        for exchange in self._exchanges:
            exchange.stop()

    async def _serve(self, scope: Scope, receive: Receive, headers: RequestHeaders, answer: Answer) -> None:
        exchange = None
        try:
            answer.body_is_read = not headers.has_body
            path, query = _target_of(scope)
            verb: str = scope["method"]
            if verb == OPTIONS and (allowed := self._router.allowed(path)):
                preflight = self._cross_origin.preflight(headers.get("origin"), allowed)
                await answer.send(HTTPStatus.NO_CONTENT, b"", [("allow", ", ".join(allowed)), *preflight])
                return
            route, segments = self._router.find(verb, path)
            metadata = headers.metadata(_client_of(scope), self._metadata_bytes)
            if wait := self._admit(metadata):
                raise TooManyRequests(wait)
            exchange = Exchange(
                route=route,
                segments=segments,
                query=query,
                verb=verb,
                headers=headers,
                receive=receive,
                limits=self._limits,
                room=self._room,
            )
            self._exchanges.add(exchange)
            await self._call(exchange, metadata, answer)
        except Refusal:
            answer.body_is_read = exchange.body_is_read if exchange else answer.body_is_read
            raise
        finally:
            if exchange is not None:
                self._exchanges.discard(exchange)

    async def _call(self, exchange: Exchange, metadata: Metadata, answer: Answer) -> None:
        route, timeout = exchange.route, exchange.headers.timeout()
        if route.streams_requests:
            call = route.method(exchange.requests(), metadata=metadata, timeout=timeout)
        else:
            request = await exchange.request()
            answer.body_is_read = True
            if timeout is None and not route.streams_responses:
                timeout = self._timeout
            call = route.method(request, metadata=metadata, timeout=timeout)
        try:
            if route.streams_responses:
                await _answer_with_stream(call, answer, exchange)
            else:
                await _answer_with_one(call, answer, exchange)
        finally:
            exchange.stop_watching()
            call.cancel()


async def _answer_with_one(call: Any, answer: Answer, exchange: Exchange) -> None:
    exchange.watch(call, WATCH_AFTER_SECONDS)
    try:
        response = await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        await _fail(error, answer, exchange)
        return
    answer.body_is_read = exchange.body_is_read
    headers = [*response_headers(await call.initial_metadata() or (), PREFIX)]
    headers += response_headers(await call.trailing_metadata() or (), TRAILER_PREFIX)
    if tag := exchange.route.preconditions.entity_tag(response):
        headers.append(("etag", tag))
        if exchange.knows(tag):
            await answer.send(HTTPStatus.NOT_MODIFIED, b"", headers)
            return
    await answer.send(HTTPStatus.OK, exchange.route.writer.write(response), headers)


async def _answer_with_stream(call: Any, answer: Answer, exchange: Exchange) -> None:
    exchange.watch(call, 0.0)
    reading = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait({reading}, timeout=HEADERS_AFTER_SECONDS)
        if not reading.done():
            await answer.begin([])
        while (response := await reading) is not grpc.aio.EOF:
            if not answer.started:
                await answer.begin([*response_headers(await call.initial_metadata() or (), PREFIX)])
            if exchange.verb == HEAD:
                break
            await answer.line(result_line(exchange.route.writer.value(response)))
            reading = asyncio.ensure_future(call.read())
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        await _fail(error, answer, exchange)
        return
    finally:
        if not reading.cancel() and not reading.cancelled():
            reading.exception()  # nobody else asks for it
    if not answer.started:
        await answer.begin([*response_headers(await call.initial_metadata() or (), PREFIX)])
    await answer.end()


async def _fail(error: BaseException, answer: Answer, exchange: Exchange) -> None:
    """Answers for a call that failed, for what was wrong with its requests, or not at all if the client is gone."""
    answer.body_is_read = exchange.body_is_read
    task = asyncio.current_task()
    if exchange.refusal is not None:
        await answer.refuse(exchange.refusal)
    elif exchange.gone:
        return
    elif exchange.stopping or (task is not None and task.cancelling()):
        await answer.fail(STOPPING, [("retry-after", "1")])
    elif isinstance(error, grpc.aio.AioRpcError):
        trailing = error.trailing_metadata() or ()
        await answer.fail(status_of(error), [*response_headers(trailing, TRAILER_PREFIX)])
    else:
        await answer.fail(status_pb2.Status(code=code_pb2.CANCELLED, message="the call was cancelled"), [])


def _target_of(scope: Scope) -> tuple[str, str]:
    """Returns path and query, percent-encoded. Raises Refusal."""
    path, query = scope["raw_path"], scope["query_string"]
    if len(path) + len(query) > LONGEST_PATH:
        raise PathTooLong(LONGEST_PATH)
    text: str = path.decode("latin-1")
    if not text.startswith("/"):
        raise BadRequest("the path must begin with /")
    if _DOT_SEGMENT.search(text):
        raise BadRequest("the path has a segment . or ..; leave it out")
    return text, query.decode("latin-1")


def _client_of(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"
