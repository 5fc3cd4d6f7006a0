"""The gateway: an ASGI application that makes gRPC calls of HTTP requests, as `google.api.http` says."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, status_pb2

from aura.kernel.gateway.bindings import Binding, bindings_of
from aura.kernel.gateway.bodies import BodyLimits, Disconnected, Receive, has_body, read_body, read_lines, require_json
from aura.kernel.gateway.cross_origin import CrossOrigin
from aura.kernel.gateway.headers import PREFIX, TRAILER_PREFIX, RequestHeaders, response_headers
from aura.kernel.gateway.preconditions import Preconditions
from aura.kernel.gateway.refusals import BadRequest, PathTooLong, Refusal
from aura.kernel.gateway.requests import RequestReader
from aura.kernel.gateway.responses import (
    HTTP_STATUS,
    JSON_TYPE,
    LINES_TYPE,
    ResponseWriter,
    error_line,
    headers_of_status,
    json_bytes,
    json_of_status,
    result_line,
    status_of,
)
from aura.kernel.gateway.router import GET, HEAD, OPTIONS, Router

Scope: TypeAlias = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
Headers = list[tuple[str, str]]
ChannelFor = Callable[[str], grpc.aio.Channel]

LONGEST_PATH = 8192
WATCH_AFTER_SECONDS = 0.05
"""How long a unary call runs before it is looked whether its client is still there."""
HEADERS_AFTER_SECONDS = 1.0
"""How long a stream's headers wait for its first message, or for the error that would make another HTTP status."""
PACKED_FROM = 1024
COMPRESSION = 5
SECURITY_HEADERS: Headers = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
]
log = structlog.get_logger()

_ENCODED = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS]
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_TAKES_GZIP = re.compile(r"\b(?:gzip|\*)\s*(?:$|,|;\s*q=(?:1|0\.0*[1-9]))", re.IGNORECASE)


class Gateway:
    """Serves the methods of services that have a `google.api.http` option, by HTTP and JSON.

    Args:
        services: the services' descriptors.
        channel_for: gives the channel to a service, by its full name. Each call says in `x-forwarded-for` who called.
        limits: what a body may take.
        timeout: how many seconds a unary call may take whose caller does not say it.
        forged: beginnings of metadata that nobody may bring in from outside; the headers are dropped.
        origins: the origins whose pages may call; `*` is all.

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
        timeout: float = 60.0,
        forged: Sequence[str] = (),
        origins: Iterable[str] = (),
    ) -> None:
        self.bindings = bindings_of(services)
        self._router = Router((binding, _Route(binding, channel_for)) for binding in self.bindings)
        self._limits = limits or BodyLimits(size=4 * 1024 * 1024, seconds=20.0)
        self._timeout = timeout
        self._forged = tuple(forged)
        self._cross_origin = CrossOrigin(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, as ASGI has it."""
        if scope["type"] != "http":
            return
        headers = RequestHeaders(scope["headers"], forged=self._forged)
        answer = _Answer(send, scope["method"], headers, self._cross_origin.headers(headers.get("origin")))
        try:
            await self._serve(scope, receive, headers, answer)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except Disconnected:
            pass
        except Exception:
            log.exception("the gateway failed")
            await answer.fail(status_pb2.Status(code=code_pb2.INTERNAL, message="an internal error occurred"), [])

    async def _serve(self, scope: Scope, receive: Receive, headers: RequestHeaders, answer: _Answer) -> None:
        path, query = _target_of(scope)
        verb: str = scope["method"]
        if verb == OPTIONS and (allowed := self._router.allowed(path)):
            preflight = self._cross_origin.preflight(headers.get("origin"), allowed)
            await answer.send(HTTPStatus.NO_CONTENT, b"", [("allow", ", ".join(allowed)), *preflight])
            return
        route, segments = self._router.find(verb, path)
        metadata, timeout = headers.metadata(_client_of(scope)), headers.timeout()
        exchange = _Exchange(
            route=route,
            segments=segments,
            query=query,
            verb=verb,
            headers=headers,
            receive=receive,
            limits=self._limits,
        )
        if route.streams_requests:
            call = route.method(exchange.requests(), metadata=metadata, timeout=timeout)
        else:
            request = await exchange.request()
            if timeout is None and not route.streams_responses:
                timeout = self._timeout
            call = route.method(request, metadata=metadata, timeout=timeout)
        try:
            if route.streams_responses:
                await _answer_with_stream(call, route, answer, exchange)
            else:
                await _answer_with_one(call, route, answer, exchange)
        finally:
            exchange.stop_watching()
            call.cancel()


class _Route:
    """What a binding's requests are read, called and answered by."""

    def __init__(self, binding: Binding, channel_for: ChannelFor) -> None:
        self.reader = RequestReader(binding)
        self.writer = ResponseWriter(binding.method.output_type, binding.response_body)
        self.preconditions = Preconditions(binding)
        self.streams_requests = binding.method.client_streaming
        self.streams_responses = binding.method.server_streaming
        self._binding = binding
        self._channel_for = channel_for
        self._method: Any = None

    @property
    def method(self) -> Any:
        """What makes the call."""
        if self._method is None:
            channel = self._channel_for(self._binding.method.containing_service.full_name)
            kind = f"{_kind(self.streams_requests)}_{_kind(self.streams_responses)}"
            self._method = getattr(channel, kind)(
                self._binding.path,
                request_serializer=GetMessageClass(self._binding.method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(self._binding.method.output_type).FromString,
            )
        return self._method


class _Exchange:
    """One request: its message or messages, and whether its client is still there."""

    def __init__(
        self,
        *,
        route: _Route,
        segments: Sequence[str],
        query: str,
        verb: str,
        headers: RequestHeaders,
        receive: Receive,
        limits: BodyLimits,
    ) -> None:
        self._route, self._segments, self._query, self._verb = route, segments, query, verb
        self._headers, self._receive, self._limits = headers, receive, limits
        self._watch: asyncio.TimerHandle | asyncio.Task[None] | None = None
        self.refusal: Refusal | None = None
        self.gone = False

    async def request(self) -> Message:
        """Returns the one request. Raises Refusal and Disconnected."""
        body = b""
        if has_body(self._headers):
            if self._route.reader.takes_body:
                require_json(self._headers)
            body = await read_body(self._receive, self._headers, self._limits)
        request = self._route.reader.read(self._segments, self._query, body)
        self._route.preconditions.apply(self._headers, request)
        return request

    async def requests(self) -> AsyncIterator[Message]:
        """Yields one request for each line of the body; what is wrong with them is kept as `refusal`."""
        number = 0
        try:
            require_json(self._headers)
            async for line in read_lines(self._receive, self._headers, self._limits):
                number += 1
                yield self._route.reader.read(self._segments, self._query, line)
        except Disconnected:
            self.gone = True
            raise
        except Refusal as refusal:
            self.refusal = refusal
            refusal.status.message = f"line {number}: {refusal.status.message}" if number else refusal.status.message
            raise

    def knows(self, tag: str) -> bool:
        """Returns whether the client says that it has the answer with this entity tag already (RFC 9110, 13.1.2)."""
        known = self._headers.get("if-none-match")
        return bool(known) and self._verb in {GET, HEAD} and tag in re.split(r"\s*,\s*", known.replace("W/", ""))

    def watch(self, call: Any, after: float) -> None:
        """Has the call cancelled when the client goes, from some seconds on."""
        if not self._route.streams_requests:
            self._watch = asyncio.get_running_loop().call_later(after, self._begin_watching, call)

    def stop_watching(self) -> None:
        """Ends that."""
        if self._watch is not None:
            self._watch.cancel()

    def _begin_watching(self, call: Any) -> None:
        self._watch = asyncio.create_task(self._cancel_when_gone(call))

    async def _cancel_when_gone(self, call: Any) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        call.cancel()


class _Answer:
    """Writes the answer to one request."""

    def __init__(self, send: Send, verb: str, headers: RequestHeaders, common: Headers) -> None:
        self._send, self._verb, self._headers = send, verb, headers
        self._common = common
        self.started = False

    async def send(self, status: int, body: bytes, headers: Headers, kind: str = JSON_TYPE) -> None:
        """Sends a whole answer."""
        if len(body) >= PACKED_FROM:
            headers.append(("vary", "accept-encoding"))
            if _TAKES_GZIP.search(self._headers.get("accept-encoding")):
                body = await asyncio.to_thread(gzip.compress, body, COMPRESSION)
                headers.append(("content-encoding", "gzip"))
        if status != HTTPStatus.NO_CONTENT:
            headers.append(("content-type", kind))
            headers.append(("content-length", str(len(body))))
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": b"" if self._verb == HEAD else body})

    async def begin(self, headers: Headers) -> None:
        """Begins an answer that is a stream of lines."""
        await self._start(HTTPStatus.OK, [*headers, ("content-type", LINES_TYPE), ("x-accel-buffering", "no")])

    async def line(self, line: bytes) -> None:
        """Sends a line; waits while the client does not read."""
        if self._verb != HEAD:
            await self._send({"type": "http.response.body", "body": line, "more_body": True})

    async def end(self) -> None:
        """Ends the stream."""
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: Refusal) -> None:
        """Says why the gateway does not take the request."""
        await self.fail(refusal.status, [*refusal.headers.items()], refusal.http_status)

    async def fail(self, status: status_pb2.Status, headers: Headers, http_status: int | None = None) -> None:
        """Says how a call failed."""
        if self.started:
            await self.line(error_line(status))
            await self.end()
            return
        headers += headers_of_status(status, with_token=bool(self._headers.get("authorization")))
        code = http_status or HTTP_STATUS.get(status.code, HTTPStatus.INTERNAL_SERVER_ERROR)
        await self.send(code, json_bytes(json_of_status(status)), headers)

    async def _start(self, status: int, headers: Headers) -> None:
        self.started = True
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in (*headers, *self._common)]
        await self._send({"type": "http.response.start", "status": int(status), "headers": [*encoded, *_ENCODED]})


async def _answer_with_one(call: Any, route: _Route, answer: _Answer, exchange: _Exchange) -> None:
    exchange.watch(call, WATCH_AFTER_SECONDS)
    try:
        response = await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        await _fail(error, answer, exchange)
        return
    headers = [*response_headers(await call.initial_metadata() or (), PREFIX)]
    headers += response_headers(await call.trailing_metadata() or (), TRAILER_PREFIX)
    if tag := route.preconditions.entity_tag(response):
        headers.append(("etag", tag))
        if exchange.knows(tag):
            await answer.send(HTTPStatus.NOT_MODIFIED, b"", headers)
            return
    await answer.send(HTTPStatus.OK, route.writer.write(response), headers)


async def _answer_with_stream(call: Any, route: _Route, answer: _Answer, exchange: _Exchange) -> None:
    exchange.watch(call, 0.0)
    reading = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait({reading}, timeout=HEADERS_AFTER_SECONDS)
        if not reading.done():
            await answer.begin([])
        while (response := await reading) is not grpc.aio.EOF:
            if not answer.started:
                await answer.begin([*response_headers(await call.initial_metadata() or (), PREFIX)])
            await answer.line(result_line(route.writer.value(response)))
            reading = asyncio.ensure_future(call.read())
        if await call.code() is not grpc.StatusCode.OK:
            await call  # raises
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        await _fail(error, answer, exchange)
        return
    finally:
        reading.cancel()
    if not answer.started:
        await answer.begin([*response_headers(await call.initial_metadata() or (), PREFIX)])
    await answer.end()


async def _fail(error: BaseException, answer: _Answer, exchange: _Exchange) -> None:
    """Answers for a call that failed, for what was wrong with its requests, or not at all if the client is gone."""
    if exchange.refusal is not None:
        await answer.refuse(exchange.refusal)
    elif isinstance(error, grpc.aio.AioRpcError):
        trailing = error.trailing_metadata() or ()
        await answer.fail(status_of(error), [*response_headers(trailing, TRAILER_PREFIX)])
    elif not exchange.gone:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise error
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


def _kind(streams: bool) -> str:  # noqa: FBT001 it is a property of the method
    return "stream" if streams else "unary"
