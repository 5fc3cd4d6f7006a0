"""One way to serve handlers and to make calls on every transport, so that each test body is written once."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from aura.kernel.inprocess import InProcessServer

SERVICE = "aura.test.v1.TestService"
SILENT = object()
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

Body = Callable[[AsyncIterator[StringValue], Any, Callable[[StringValue], Awaitable[None]]], Awaitable[None]]


def text(value: str = "") -> StringValue:
    return StringValue(value=value)


def handler(
    kind: str,
    behaviour: Any,
    deserializer: Any = StringValue.FromString,
    serializer: Any = StringValue.SerializeToString,
) -> grpc.RpcMethodHandler:
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(behaviour, request_deserializer=deserializer, response_serializer=serializer)


def scripted(kind: str, body: Body) -> grpc.RpcMethodHandler:
    """A handler of any kind from one body, which reads requests and emits responses.

    It runs once all requests are there: grpc.aio loses the status of a call that ends while its client still writes.
    """

    async def received(request: Any) -> AsyncIterator[StringValue]:
        requests = [one async for one in request] if kind.startswith("stream") else [request]

        async def again() -> AsyncIterator[StringValue]:
            for one in requests:
                yield one

        return again()

    async def with_message(request: Any, context: Any) -> StringValue:
        responses: list[StringValue] = []

        async def emit(message: StringValue) -> None:
            responses.append(message)

        await body(await received(request), context, emit)
        return responses[0] if responses else text()

    async def with_stream(request: Any, context: Any) -> None:
        await body(await received(request), context, context.write)

    return handler(kind, with_stream if kind.endswith("stream") else with_message)


@dataclass
class Outcome:
    """What a client can tell of a call that has ended."""

    responses: list[str] = field(default_factory=list)
    code: grpc.StatusCode | None = None
    details: str | None = None
    initial_metadata: dict[str, list[str | bytes]] = field(default_factory=dict)
    trailing_metadata: dict[str, list[str | bytes]] = field(default_factory=dict)
    raised: str | None = None


@dataclass
class Served:
    channel: Any
    server: Any

    def stub(
        self,
        kind: str,
        method: str,
        serializer: Any = StringValue.SerializeToString,
        deserializer: Any = StringValue.FromString,
        service: str = SERVICE,
    ) -> Any:
        return getattr(self.channel, kind)(f"/{service}/{method}", serializer, deserializer)

    def call(self, kind: str, method: str, requests: Any = None, **options: Any) -> Any:
        """Make a call; a unary kind sends the first of ``requests``, a stream that is `SILENT` nothing."""
        if requests is SILENT:
            return self.stub(kind, method)(*[text()][: kind.startswith("unary")], **options)
        if kind.startswith("unary"):
            return self.stub(kind, method)((requests or [text()])[0], **options)
        return self.stub(kind, method)([text()] if requests is None else requests, **options)

    async def outcome(self, kind: str, method: str, requests: Any = None, **options: Any) -> Outcome:
        return await outcome_of(kind, self.call(kind, method, requests, **options))


class Harness:
    """Serves test handlers on one transport."""

    def __init__(self, transport: str) -> None:
        self.transport = transport
        self._stack = AsyncExitStack()

    async def serve(
        self,
        methods: dict[str, grpc.RpcMethodHandler],
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        client_interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
        service: str = SERVICE,
    ) -> Served:
        if self.transport == "in_process":
            server: Any = InProcessServer(interceptors=interceptors)
        else:
            server = grpc.aio.server(interceptors=interceptors)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        server.add_registered_method_handlers(service, methods)
        open_channel = server.channel if self.transport == "in_process" else self._listen(server)
        await server.start()
        self._stack.push_async_callback(server.stop, None)
        channel = open_channel(interceptors=client_interceptors)
        self._stack.push_async_callback(channel.close)
        return Served(channel, server)

    def _listen(self, server: grpc.aio.Server) -> Callable[..., grpc.aio.Channel]:
        if self.transport == "tcp":
            target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        else:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="aura-"))
            target = f"unix:{Path(folder) / 'socket'}"
            server.add_insecure_port(target)

        def open_channel(interceptors: Sequence[grpc.aio.ClientInterceptor] = ()) -> grpc.aio.Channel:
            return grpc.aio.insecure_channel(target, interceptors=interceptors)

        return open_channel

    async def close(self) -> None:
        await self._stack.aclose()


async def outcome_of(kind: str, call: Any) -> Outcome:
    """Take a call to its end."""
    outcome = Outcome()
    try:
        if kind.endswith("stream"):
            async for response in call:
                outcome.responses.append(response.value)
        else:
            outcome.responses.append((await call).value)
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        outcome.raised = type(error).__name__
    outcome.code = await call.code()
    outcome.details = await call.details()
    outcome.initial_metadata = grouped(await call.initial_metadata())
    outcome.trailing_metadata = grouped(await call.trailing_metadata())
    return outcome


def grouped(metadata: Any) -> dict[str, list[str | bytes]]:
    """Metadata by key: the order of values of one key is kept on a wire, that of keys is not."""
    by_key: dict[str, list[str | bytes]] = {}
    for key, value in metadata or ():
        if key != "user-agent":
            by_key.setdefault(key, []).append(value)
    return by_key


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until the condition holds; a loaded machine may take its time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        await asyncio.sleep(0.005)
