"""A server as the network reaches it, with a small service behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from aura.kernel.interceptors.chain import Interceptor, InterceptorChain
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.network_server import NetworkLimits, NetworkServer, bind
from aura.kernel.settings import Settings
from aura.kernel.tls import TlsFiles
from aura.kernel.topology import Process
from tests.support.services import SERVICE, Body, echo, handlers, path_of


@asynccontextmanager
async def on_the_network(
    *, body: Body = echo, tls: TlsFiles | None = None, interceptors: Sequence[Interceptor] = (), **settings: Any
) -> AsyncIterator[str]:
    """Serves a method of each kind with the limits of some settings; yields the address."""
    chain = InterceptorChain([RequestIds(), ErrorMapping(), *interceptors])
    server = NetworkServer(chain, limits(**settings))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers(body)),))
    process = Process(name="aura", modules=(), host="127.0.0.1", port=0)
    port = bind(server, process, tls, by_topology=False)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def limits(**settings: Any) -> NetworkLimits:
    return Settings(**settings).network_limits


def calling(channel: grpc.aio.Channel, kind: str = "unary_unary") -> Any:
    """The method of a kind, on a channel."""
    return getattr(channel, kind)(path_of(kind), StringValue.SerializeToString, StringValue.FromString)


async def code_of_a_call(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.StatusCode:
    """Makes a call on a connection of its own; returns what became of it."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        return await calling(channel)(StringValue(value="x"), timeout=5).code()
