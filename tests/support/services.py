"""A small service of all four kinds of call, behind any interceptors, on the network and in-process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from aura.kernel.channel import ModuleChannel
from aura.kernel.errors import AuraError
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.identity import CallerIdentity
from aura.kernel.registry import ServiceRegistry, WayInside
from aura.kernel.rpc_status import from_rpc_error
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.topology import SINGLE_PROCESS, Topology
from aura.modules import AURA_MODULES
from tests.support.cluster import KEYS

SERVICE = "aura.test.v1.ProbeService"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
TRANSPORTS = ("tcp", "in_process")

Body = Callable[[AsyncIterator[Any], Any], AsyncGenerator[Any, None]]
"""What a method does, whatever its kind: reads requests, yields responses."""


def path_of(kind: str, service: str = SERVICE) -> str:
    return f"/{service}/{kind}"


async def echo(requests: AsyncIterator[StringValue], _: object) -> AsyncIterator[StringValue]:
    async for request in requests:
        yield request


def handlers(
    body: Body, request_class: type[Message] = StringValue, response_class: type[Message] = StringValue
) -> dict[str, grpc.RpcMethodHandler]:
    """One method of each kind, named after it, from one body."""
    return {kind: _handler(kind, body, request_class, response_class) for kind in KINDS}


def _handler(
    kind: str, body: Body, request_class: type[Message], response_class: type[Message]
) -> grpc.RpcMethodHandler:
    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        async with aclosing(body(request if kind.startswith("stream") else _alone(request), context)) as responses:
            async for response in responses:
                yield response

    async def unary(request: Any, context: Any) -> Any:
        responses = [response async for response in stream(request, context)]
        return responses[-1] if responses else response_class()

    return getattr(grpc, f"{kind}_rpc_method_handler")(
        stream if kind.endswith("stream") else unary,
        request_deserializer=request_class.FromString,
        response_serializer=response_class.SerializeToString,
    )


async def _alone(request: Any) -> AsyncIterator[Any]:
    yield request


@dataclass
class Outcome:
    """What a client learns of a call."""

    responses: list[StringValue] = field(default_factory=list)
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailing: Mapping[str, str | bytes] = field(default_factory=dict)
    status: status_pb2.Status | None = None
    error: AuraError | None = None

    @property
    def request_info(self) -> str:
        """The request id that the error's details tell."""
        info = error_details_pb2.RequestInfo()
        return next((info.request_id for detail in self.status.details if detail.Unpack(info)), "")


@dataclass
class Served:
    server: Any
    channel: grpc.aio.Channel

    def start(self, kind: str, requests: Sequence[Message | bytes] = (StringValue(),), **options: Any) -> Any:
        """Makes a call without waiting for its end; requests that are bytes go out as they are."""
        method = getattr(self.channel, kind)(path_of(kind), _serialized, StringValue.FromString)
        return method(_each(requests) if kind.startswith("stream") else requests[0], **options)

    async def call(self, kind: str, requests: Sequence[Message | bytes] = (StringValue(),), **options: Any) -> Outcome:
        return await outcome_of(kind, self.start(kind, requests, **{"timeout": 10, **options}))


def _serialized(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


async def _each(requests: Sequence[Message | bytes]) -> AsyncIterator[Message | bytes]:
    for request in requests:
        yield request


async def outcome_of(kind: str, call: Any) -> Outcome:
    outcome = Outcome()
    try:
        if kind.endswith("stream"):
            async for response in call:
                outcome.responses.append(response)
        else:
            outcome.responses.append(await call)
    except grpc.aio.AioRpcError as error:
        outcome.code, outcome.details = error.code(), error.details() or ""
        outcome.status, outcome.error = rpc_status.from_call(error), from_rpc_error(error)
    outcome.trailing = dict(await call.trailing_metadata() or ())
    return outcome


@asynccontextmanager
async def serving(
    transport: str,
    methods: Mapping[str, grpc.RpcMethodHandler] | None = None,
    *,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    service: str = SERVICE,
    add: Callable[[Any], None] | None = None,
    auth_context: Callable[[], Mapping[str, Sequence[bytes]]] | None = None,
) -> AsyncIterator[Served]:
    """Serves the methods, and what `add` adds, and lends a channel to them."""
    in_process = transport == "in_process"
    server: Any = (InProcessServer if in_process else grpc.aio.server)(interceptors=interceptors)
    if methods is not None:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, dict(methods)),))
    if add is not None:
        add(server)
    address = "" if in_process else f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    channel = server.channel(auth_context=auth_context) if in_process else grpc.aio.insecure_channel(address)
    try:
        yield Served(server=server, channel=channel)
    finally:
        await channel.close()
        await server.stop(0)


def module_channel(served: Served) -> ModuleChannel:
    """The channel of a module to what is served."""
    return ModuleChannel(WayInside(channel=served.channel, module="users", process=SINGLE_PROCESS))


def caller_identity() -> CallerIdentity:
    return CallerIdentity(identities=InternalIdentities(KEYS), process=SINGLE_PROCESS)


def registry_of(server: InProcessServer) -> ServiceRegistry:
    """A registry of the platform's modules, all hosted in one process."""
    topology = Topology.single(AURA_MODULES, host="127.0.0.1", port=1)
    return ServiceRegistry(
        specs=AURA_MODULES,
        topology=topology,
        process=topology.process(None),
        server=server,
        identities=InternalIdentities(KEYS),
        maximum_message_bytes=1024 * 1024,
    )


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 what is waited for has no event to await
            await asyncio.sleep(0.005)


async def failure_from(call: Awaitable[Any]) -> AuraError:
    """Awaits a call on a module's channel that must fail."""
    try:
        await call
    except AuraError as error:
        return error
    raise AssertionError("the call succeeded")
