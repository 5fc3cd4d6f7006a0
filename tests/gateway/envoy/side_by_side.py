"""The gateway and Envoy in front of one server that remembers what reached it, and what each made of a request."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from aura.kernel.access_table import KERNEL_SERVICES
from aura.kernel.contracts import describe, load_contract, service_names
from aura.kernel.envoy.config import bootstrap
from aura.kernel.envoy.front import Front
from aura.kernel.gateway import Gateway
from aura.kernel.http.platform import http_limits
from aura.kernel.http.server import HttpServer
from aura.kernel.settings import Settings
from aura.kernel.topology import Topology
from aura.modules import AURA_MODULES
from tests.gateway import library
from tests.gateway.envoy.samples import sample_of
from tests.gateway.library import LibraryServicer, Seen
from tests.support.envoy import running_envoy
from tests.support.http_exchange import HttpAnswer, HttpRequest, exchange
from tests.support.ports import free_port


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a request on one side.

    Attributes:
        status: The HTTP status.
        body: The JSON value of the answer; its bytes if they are no JSON.
        seen: The calls that reached the server, by their method and the bytes of their request.
    """

    status: int
    body: Any
    seen: tuple[tuple[str, bytes], ...]

    @property
    def refused(self) -> bool:
        """Whether it was answered without a call."""
        return not self.seen

    @property
    def code(self) -> int | None:
        """The `google.rpc.Code` of the answer, if it has one."""
        return self.body.get("code") if self.status >= 400 and isinstance(self.body, dict) else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One request, and what each side made of it."""

    request: HttpRequest
    aura: Outcome
    envoy: Outcome

    @property
    def calls(self) -> tuple[bool, bool]:
        """Whether Aura made a call of it, and whether Envoy did."""
        return not self.aura.refused, not self.envoy.refused

    @property
    def alike(self) -> bool:
        if self.aura.refused and self.envoy.refused:
            return self.aura.status == self.envoy.status and self.aura.code == self.envoy.code
        return self.aura == self.envoy

    def __str__(self) -> str:
        request = self.request
        body = "" if request.body is None else f" {request.body!r}"
        return f"{request.verb} {request.target}{body}\n    Aura:  {_text(self.aura)}\n    Envoy: {_text(self.envoy)}"


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """Both sides; `seen` is of the server behind them."""

    aura_port: int
    envoy_port: int
    seen: list[Seen]

    async def compare(self, request: HttpRequest) -> Comparison:
        return Comparison(
            request=request,
            aura=await self._outcome(self.aura_port, request),
            envoy=await self._outcome(self.envoy_port, request),
        )

    async def compare_all(self, requests: Sequence[HttpRequest]) -> list[Comparison]:
        return [await self.compare(request) for request in requests]

    async def _outcome(self, port: int, request: HttpRequest) -> Outcome:
        self.seen.clear()
        answer = await exchange(port, request)
        seen = tuple((each.method, each.request) for each in self.seen)
        return Outcome(status=answer.status, body=_value(answer), seen=seen)


def services() -> list[ServiceDescriptor]:
    """The library's service, and all of Aura's."""
    for module in AURA_MODULES:
        load_contract(module)
    own = [name for module, spec in AURA_MODULES.items() for name in service_names(module, spec)]
    return [library.service(), *(describe(name) for name in (*own, *KERNEL_SERVICES))]


@asynccontextmanager
async def side_by_side(folder: Path, gateway: type[Gateway] = Gateway) -> AsyncIterator[SideBySide]:
    """Runs both sides, and what is behind them."""
    served, seen = services(), list[Seen]()
    async with _backend(served, seen) as port, _gateway(gateway, served, port) as aura_port:
        config = bootstrap(
            Settings(),
            services=served,
            homes={},
            topology=Topology.single(["library"], host="127.0.0.1", port=port),
            front=Front(host="127.0.0.1", port=free_port()),
        )
        context = running_envoy(config, folder)
        envoy_port = await asyncio.to_thread(context.__enter__)
        try:
            yield SideBySide(aura_port=aura_port, envoy_port=envoy_port, seen=seen)
        finally:
            context.__exit__(None, None, None)


@asynccontextmanager
async def _backend(served: Sequence[ServiceDescriptor], seen: list[Seen]) -> AsyncIterator[int]:
    server = grpc.aio.server()
    LibraryServicer(seen=seen).add_to(server)
    for service in served[1:]:
        handlers = {method.name: _sampled(method, seen) for method in service.methods}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))
    healthy = health.aio.HealthServicer()
    await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


def _sampled(method: MethodDescriptor, seen: list[Seen]) -> grpc.RpcMethodHandler:
    """Answers a method of Aura's with a made-up message."""

    async def call(request: Message, _: object) -> Message:
        seen.append(Seen(method=method.full_name, request=request.SerializeToString(deterministic=True), metadata=()))
        return sample_of(method.output_type)

    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


@asynccontextmanager
async def _gateway(gateway: type[Gateway], served: Sequence[ServiceDescriptor], port: int) -> AsyncIterator[int]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            server = HttpServer(bound, gateway(served, lambda _: channel), http_limits(Settings()))
            server.start()
            try:
                yield server.port
            finally:
                await server.stop(0)


def _value(answer: HttpAnswer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        return answer.body


def _text(outcome: Outcome) -> str:
    calls = ", ".join(f"{method} {request.hex()}" for method, request in outcome.seen) or "no call"
    return f"{outcome.status} {str(outcome.body)[:400]}; {calls}"
