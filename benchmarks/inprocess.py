"""What a call costs in-process, against calling the servicer directly and against sockets, in the same run.

    python -m benchmarks.inprocess [--rounds 101] [--calls 100] [--messages 10000]

The rounds of all subjects are interleaved, so that a machine that slows down slows all of them, and short, so that most
are over before another process takes the processor away; the figures are medians of rounds. The last line is one JSON
object: `unary_overhead_us` (with metadata and deadline, over a direct call), `tcp_over_inprocess` (the same call) and
`stream_tcp_over_inprocess` (a message of a response stream).
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, redirect_stderr
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from aura.kernel.channel import ModuleChannel
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.access_log import AccessLog
from aura.kernel.interceptors.chain import InterceptorChain
from aura.kernel.interceptors.dependencies import DeclaredDependencies
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.identity import CALLER_MODULE, CALLER_USER, CallerIdentity
from aura.kernel.interceptors.load_shedding import LoadShedding
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.interceptors.trace_context import Tracing
from aura.kernel.interceptors.validation import Validation
from aura.kernel.logging import configure_logging
from aura.kernel.module import ModuleSpec
from aura.kernel.registry import WayInside
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.security.keys import KeyRing

SERVICE = "aura.benchmark.v1.EchoService"
METADATA = (
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("x-request-id", "0b9c6c1e-6a53-4e0f-9d0c-2f3d8a1b7c55"),
)
STREAM_ROUNDS = 5
REQUEST = StringValue(value="a message of a usual length, such as a user's name and address")

SPECS = {
    "caller": ModuleSpec(
        name="Caller",
        description="",
        api_prefix="caller",
        api_module="",
        services_module="",
        architecture="layered",
        boundaries={},
        entry="",
        dependencies=("benchmark",),
    )
}
Subject = Callable[[int], Awaitable[Any]]


async def echo(request: StringValue, _context: Any) -> StringValue:
    """Answer with what was asked."""
    return StringValue(value=request.value)


async def wait(request: StringValue, _context: Any) -> StringValue:
    """Answer after one turn of the event loop, as a servicer does that asks a database."""
    await asyncio.sleep(0)
    return StringValue(value=request.value)


async def count(request: StringValue, _context: Any) -> AsyncIterator[StringValue]:
    """Answer with as many messages as asked for."""
    for _ in range(int(request.value)):
        yield REQUEST


async def echo_all(requests: AsyncIterator[StringValue], _context: Any) -> AsyncIterator[StringValue]:
    """Answer each message."""
    async for request in requests:
        yield request


class PassOn(grpc.aio.UnaryUnaryClientInterceptor):
    """An interceptor that does nothing."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Go on."""
        return await continuation(client_call_details, request)


def register(server: grpc.aio.Server) -> None:
    """Add the servicer as generated code does."""
    codec = {
        "request_deserializer": StringValue.FromString,
        "response_serializer": StringValue.SerializeToString,
    }
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo, **codec),
        "Wait": grpc.unary_unary_rpc_method_handler(wait, **codec),
        "Count": grpc.unary_stream_rpc_method_handler(count, **codec),
        "EchoAll": grpc.stream_stream_rpc_method_handler(echo_all, **codec),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)


def production_chain() -> InterceptorChain:
    """Return the interceptors that every call of a host goes through."""
    identities = InternalIdentities(KeyRing(bytes(32)))
    interceptors = [RequestIds(), Tracing(), AccessLog(), ErrorMapping()]
    checks = [LoadShedding(limit=256), DeclaredDependencies(SPECS), Validation()]
    return InterceptorChain([*interceptors, CallerIdentity(identities=identities, process="aura"), *checks])


def as_module() -> Mapping[str, Iterable[bytes]]:
    """Return the identity that a registry's channel is bound to."""
    return {CALLER_MODULE: (b"caller",), CALLER_USER: (b"local",)}


class Stub:
    """What generated code makes of a channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        codec = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.echo = channel.unary_unary(f"/{SERVICE}/Echo", **codec)
        self.wait = channel.unary_unary(f"/{SERVICE}/Wait", **codec)
        self.count = channel.unary_stream(f"/{SERVICE}/Count", **codec)
        self.echo_all = channel.stream_stream(f"/{SERVICE}/EchoAll", **codec)


def unary(call: Callable[..., Awaitable[Any]], **options: Any) -> Subject:
    """Return what makes so many calls."""

    async def run(calls: int) -> None:
        for _ in range(calls):
            await call(REQUEST, **options)

    return run


def direct(servicer: Callable[[StringValue, Any], Awaitable[Any]]) -> Subject:
    """Return what calls the servicer's method so often, with nothing in between."""

    async def run(calls: int) -> None:
        for _ in range(calls):
            await servicer(REQUEST, None)

    return run


def response_stream(stub: Stub) -> Subject:
    """Return what receives so many messages of one stream."""

    async def run(messages: int) -> None:
        async for _ in stub.count(StringValue(value=str(messages))):
            pass

    return run


def ping_pong(stub: Stub) -> Subject:
    """Return what sends so many messages, each after the answer to the last."""

    async def run(messages: int) -> None:
        call = stub.echo_all()
        for _ in range(messages):
            await call.write(REQUEST)
            await call.read()
        await call.done_writing()
        await call.code()

    return run


async def measure(
    subjects: dict[str, Subject], rounds: int, calls: int, *, fewer_by_socket: int = 1
) -> dict[str, float]:
    """Return each subject's median of microseconds a call, with rounds interleaved and a first one not counted."""
    figures: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(rounds + 1):
        for name, run in subjects.items():
            count_of_calls = calls // fewer_by_socket if name.startswith(("tcp", "unix")) else calls
            start = time.perf_counter()
            await run(count_of_calls)
            if round_number:
                figures[name].append((time.perf_counter() - start) / count_of_calls * 1e6)
    return {name: statistics.median(values) for name, values in figures.items()}


async def main(rounds: int, calls: int, messages: int) -> None:
    """Serve on all transports, measure and print."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="aura-"))
        nowhere = stack.enter_context(open(os.devnull, "w"))  # noqa: ASYNC230, PTH123, SIM115 the stack closes it
        stack.enter_context(redirect_stderr(nowhere))
        configure_logging(level="info", style="json", process="aura")
        in_process = InProcessServer()
        register(in_process)
        network = grpc.aio.server()
        register(network)
        path = f"unix:{Path(folder) / 'socket'}"
        network.add_insecure_port(path)
        port = network.add_insecure_port("127.0.0.1:0")
        await network.start()
        stack.push_async_callback(network.stop, None)
        near = Stub(await stack.enter_async_context(in_process.channel()))
        chained_server = InProcessServer(interceptors=[production_chain()])
        register(chained_server)
        chained = Stub(await stack.enter_async_context(chained_server.channel()))
        way = WayInside(channel=chained_server.channel(auth_context=as_module), module="benchmark", process="aura")
        of_module = Stub(ModuleChannel(way))
        intercepted = Stub(await stack.enter_async_context(in_process.channel(interceptors=[PassOn()])))
        unix = Stub(await stack.enter_async_context(grpc.aio.insecure_channel(path)))
        tcp = Stub(await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}")))
        usual: dict[str, Any] = {"timeout": 1.0, "metadata": METADATA}
        figures = await measure(
            {
                "direct": direct(echo),
                "in-process, bare": unary(near.echo),
                "in-process, metadata and deadline": unary(near.echo, **usual),
                "in-process, one client interceptor": unary(intercepted.echo, **usual),
                "in-process, production interceptors": unary(chained.echo, **usual),
                "in-process, from module to module": unary(of_module.echo, **usual),
                "direct, waiting once": direct(wait),
                "in-process, waiting once": unary(near.wait, **usual),
                "unix, metadata and deadline": unary(unix.echo, **usual),
                "tcp, metadata and deadline": unary(tcp.echo, **usual),
                "in-process, ping-pong": ping_pong(near),
                "unix, ping-pong": ping_pong(unix),
                "tcp, ping-pong": ping_pong(tcp),
            },
            rounds,
            calls,
            fewer_by_socket=10,
        )
        figures |= await measure(
            {
                "in-process, streamed message": response_stream(near),
                "unix, streamed message": response_stream(unix),
                "tcp, streamed message": response_stream(tcp),
            },
            STREAM_ROUNDS,
            messages,
        )
        await in_process.stop(None)
        await chained_server.stop(None)
    for name, microseconds in figures.items():
        print(f"{name:40} {microseconds:10.1f} us")
    usual_call = figures["in-process, metadata and deadline"]
    summary = {
        "unary_overhead_us": usual_call - figures["direct"],
        "tcp_over_inprocess": figures["tcp, metadata and deadline"] / usual_call,
        "stream_tcp_over_inprocess": figures["tcp, streamed message"] / figures["in-process, streamed message"],
    }
    print(json.dumps({key: round(value, 1) for key, value in summary.items()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--messages", type=int, default=10_000, help="of each stream")
    asyncio.run(main(**vars(parser.parse_args())))
