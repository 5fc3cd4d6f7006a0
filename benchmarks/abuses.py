"""Ways to abuse a server that need no credentials: each goes on until it is told to end."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import TypeAlias

from grpc_reflection.v1alpha import reflection_pb2

from benchmarks import http2
from benchmarks.http2 import Connection, call, connect, header_block, message

SOURCE = "127.0.0.2"
"""The address that abuse comes from: the client that is measured has another one, as it has elsewhere."""

GET_JWKS = "/aura.users.v1.AuthenticationService/GetJwks"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
WATCH = "/grpc.health.v1.Health/Watch"
IDLE_CONNECTIONS, SILENT_SHARE = 1_000, 4
METADATA_BYTES = 10_000_000
ABUSERS, FLOOD = 20, 1_000
FEW, STREAMS = 10, 10_000
READERS, READS = 10, 100
A_WHILE = 0.2

Abuse: TypeAlias = Callable[[str], Awaitable[None]]


@asynccontextmanager
async def connected(address: str, count: int, *settings: tuple[int, int]) -> AsyncIterator[list[Connection]]:
    """Lend connections that have greeted the server."""
    made = [await connect(address, SOURCE) for _ in range(count)]
    try:
        for connection in made:
            await connection.greet(*settings)
        await asyncio.sleep(A_WHILE)
        yield made
    finally:
        for connection in made:
            await connection.close()


async def malformed_frames(address: str) -> None:
    """Send what is no HTTP/2, or breaks its rules, on ever new connections."""
    await asyncio.gather(*(_send_again_and_again(address, _malformed()) for _ in range(ABUSERS)))


async def _send_again_and_again(address: str, kinds: Sequence[bytes]) -> None:
    for bytes_sent in itertools.cycle(kinds):
        await _send_alone(address, bytes_sent)


async def _send_alone(address: str, data: bytes) -> None:
    """Send bytes on a connection of their own, and read for a while what comes of them."""
    with suppress(ConnectionError):
        connection = await connect(address, SOURCE)
        try:
            await connection.send(data)
            await connection.ended(A_WHILE)
        finally:
            await connection.close()


def _malformed() -> list[bytes]:
    greeting, block = http2.PREFACE + http2.settings(), header_block(GET_JWKS)
    return [
        os.urandom(4_096),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        http2.PREFACE + os.urandom(4_096),
        greeting + os.urandom(4_096),
        greeting + b"\xff\xff\xff" + os.urandom(65_536),
        greeting + http2.frame(http2.CONTINUATION, 0, 1, block),
        greeting + http2.frame(http2.HEADERS, http2.END_HEADERS, 1, os.urandom(512)),
        greeting + http2.frame(http2.HEADERS, http2.END_HEADERS, 0, block),
        greeting + http2.frame(http2.DATA, 0, 1, b"data of no stream"),
        greeting + http2.frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\0"),
        greeting + http2.frame(http2.PING, 0, 0, b"short"),
        greeting + call(1, block) + http2.frame(http2.DATA, http2.END_STREAM, 1, b"\0\xff\xff\xff\xffshort"),
    ]


async def floods(address: str) -> None:
    """Send a thousand SETTINGS or PINGs at once, on ever new connections."""
    greeting = http2.PREFACE + http2.settings()
    kinds = [greeting + each * FLOOD for each in (http2.settings(), http2.frame(http2.PING, 0, 0, b"8 bytes!"))]
    await asyncio.gather(*(_send_again_and_again(address, kinds) for _ in range(ABUSERS)))


async def rapid_resets(address: str) -> None:
    """Begin a thousand calls at once and cancel each before it can be served, on ever new connections."""
    block, cancel = header_block(GET_JWKS), http2.CANCEL.to_bytes(4)
    calls = (
        call(stream, block) + http2.frame(http2.RST_STREAM, 0, stream, cancel) for stream in range(1, 2 * FLOOD, 2)
    )
    data = http2.PREFACE + http2.settings() + b"".join(calls)
    await asyncio.gather(*(_send_again_and_again(address, [data]) for _ in range(ABUSERS)))


async def idle_connections(address: str) -> None:
    """Hold connections on which nothing happens; some of them never even greet."""
    held = [await connect(address, SOURCE) for _ in range(IDLE_CONNECTIONS)]
    for number, connection in enumerate(held):
        if number % SILENT_SHARE:
            await connection.greet()
    await asyncio.Event().wait()


async def slow_readers(address: str) -> None:
    """Ask for large answers, and leave no room for them."""
    wanted = reflection_pb2.ServerReflectionRequest(file_containing_symbol="aura.users.v1.UserService")
    block, question = header_block(REFLECT), wanted.SerializeToString()
    async with connected(address, READERS, (http2.INITIAL_WINDOW_SIZE, 1)) as connections:
        for connection in connections:
            for _ in range(READS):
                stream = connection.next_stream()
                await connection.send(call(stream, block) + message(stream, question) * 10)
        await asyncio.Event().wait()


async def large_metadata(address: str) -> None:
    """Begin calls with 10 MB of metadata, again and again."""
    data = call(1, header_block(GET_JWKS, ("x-large", "x" * METADATA_BYTES)), end=True)
    data = http2.PREFACE + http2.settings() + data
    await asyncio.gather(*(_send_again_and_again(address, [data]) for _ in range(4)))


async def many_streams(address: str) -> None:
    """Watch the server's health on few connections, as many times as it lets be, and keep on."""
    block = header_block(WATCH)
    async with connected(address, FEW) as connections:
        for connection in connections:
            streams = [connection.next_stream() for _ in range(STREAMS // FEW)]
            await connection.send(b"".join(call(each, block) + message(each, b"", end=True) for each in streams))
        await asyncio.Event().wait()


async def calls_without_a_message(address: str) -> None:
    """Make unary calls that end without their request, or leave it out for ever."""
    block = header_block(GET_JWKS)
    async with connected(address, FEW) as connections:
        while True:
            for connection in connections:
                for end in (True, False):
                    await connection.send(call(connection.next_stream(), block, end=end))
            await asyncio.sleep(0.02)


ABUSES: Mapping[str, Abuse] = MappingProxyType(
    {
        "malformed frames": malformed_frames,
        "1,000 idle connections": idle_connections,
        "slow readers": slow_readers,
        "floods of frames": floods,
        "rapid resets": rapid_resets,
        "10 MB of metadata": large_metadata,
        "10,000 streams": many_streams,
        "calls without a message": calls_without_a_message,
    }
)
