"""What the network may take of a server, and what it gets that asks for more."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from benchmarks import http2
from benchmarks.http2 import Connection, call, connect, header_block, message
from tests.support.failures import failure_of
from tests.support.network import calling, code_of_a_call, on_the_network
from tests.support.services import eventually, path_of

LOCALHOST = "127.0.0.1"
UNARY = header_block(path_of("unary_unary"))
ENHANCE_YOUR_CALM = 0xB
X = StringValue(value="x")


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Connection]:
    """Lends a connection that speaks HTTP/2 by hand."""
    connection = await connect(address, LOCALHOST)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def greeted(address: str) -> AsyncIterator[Connection]:
    async with connected(address) as connection:
        await connection.greet(answering=False)
        yield connection


async def end_of_a_call(connection: Connection) -> tuple[int, bytes]:
    """Reads until the server ends a call; returns the kind and the payload of the frame that did it."""
    async with asyncio.timeout(5):
        while True:
            kind, flags, stream, payload = await connection.read()
            if stream and (kind == http2.RST_STREAM or flags & http2.END_STREAM):
                return kind, payload


async def frames_until_closed(connection: Connection) -> list[tuple[int, bytes]]:
    frames = []
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        async with asyncio.timeout(5):
            while True:
                kind, _, _, payload = await connection.read()
                frames.append((kind, payload))
    return frames


# Metadata


async def test_too_much_metadata_is_refused_while_others_are_served():
    async with (
        on_the_network(maximum_metadata_bytes=8 * 1024) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        assert await calling(channel)(X) == X  # from then on the client knows the limit

        much, little = (("x-much", "x" * 9_000),), (("x-little", "x" * 4_000),)
        outcomes = [calling(channel)(X, metadata=metadata, timeout=5) for metadata in (much, little) * 10]
        codes = [await outcome.code() for outcome in outcomes]

        assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.OK] * 10
        assert await code_of_a_call(address) is grpc.StatusCode.OK


async def test_metadata_that_comes_before_the_client_knows_the_limit_is_refused_too():
    async with on_the_network(maximum_metadata_bytes=8 * 1024) as address, greeted(address) as connection:
        much = header_block(path_of("unary_unary"), ("x-much", "x" * 1_000_000))
        await connection.send(call(1, much) + message(1, X.SerializeToString(), end=True))

        kind, trailers = await end_of_a_call(connection)

        assert kind == http2.HEADERS
        assert b"grpc-status\x018" in trailers  # a length, and RESOURCE_EXHAUSTED
        assert await code_of_a_call(address) is grpc.StatusCode.OK


# Calls at a time


async def test_a_client_keeps_back_the_calls_that_a_connection_has_no_room_for():
    running, most = 0, 0

    async def slow(requests: AsyncIterator[StringValue], _: object) -> AsyncIterator[StringValue]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        async for request in requests:
            yield request

    async with (
        on_the_network(body=slow, maximum_streams_per_connection=3) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        await calling(channel)(X)
        answers = await asyncio.gather(*(calling(channel)(X, timeout=10) for _ in range(12)))

    assert answers == [X] * 12
    assert most == 3


async def test_a_connection_that_opens_more_streams_all_the_same_is_refused_them():
    async with on_the_network(maximum_streams_per_connection=3) as address, greeted(address) as connection:
        block = header_block(path_of("stream_stream"))
        await connection.send(b"".join(call(connection.next_stream(), block) for _ in range(50)))

        kind, _ = await end_of_a_call(connection)

        assert kind == http2.RST_STREAM
        assert await code_of_a_call(address) is grpc.StatusCode.OK


# Requests that do not come


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_call_that_ends_without_its_request_is_answered(kind: str):
    async with on_the_network() as address, grpc.aio.insecure_channel(address) as channel:
        as_stream = kind.replace("unary_", "stream_", 1)
        method: Any = getattr(channel, as_stream)(path_of(kind), None, StringValue.FromString)

        failure = await failure_of(_first(method(iter(()), timeout=5)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def _first(made: Any) -> Any:
    return await made.read() if hasattr(made, "read") else await made


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_a_call_whose_request_is_overdue_ends_and_holds_nothing(kind: str):
    async with (
        on_the_network(request_seconds=0.2) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        tasks = len(asyncio.all_tasks())
        as_stream = kind.replace("unary_", "stream_", 1)
        method: Any = getattr(channel, as_stream)(path_of(kind), None, StringValue.FromString)
        made = method()

        failure = await failure_of(_first(made))

        assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "REQUEST_OVERDUE")
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
        assert await code_of_a_call(address) is grpc.StatusCode.OK


async def test_each_call_may_wait_for_its_request_as_long_as_every_other():
    async with on_the_network(request_seconds=0.5) as address, grpc.aio.insecure_channel(address) as channel:
        method: Any = channel.stream_unary(path_of("unary_unary"), None, StringValue.FromString)

        async def waited(after: float) -> float:
            await asyncio.sleep(after)
            begin = time.monotonic()
            failure = await failure_of(_first(method()))
            assert failure.reason == "REQUEST_OVERDUE"
            return time.monotonic() - begin

        answered = asyncio.gather(*(calling(channel)(X) for _ in range(20)))
        times = await asyncio.gather(*map(waited, (0, 0.1, 0.1, 0.3, 0.8)))

        assert min(times) > 0.45
        assert max(times) < 1.5
        assert len(await answered) == 20


async def test_a_call_that_is_reset_before_its_request_came_holds_nothing():
    async with on_the_network(request_seconds=60) as address, greeted(address) as connection:
        tasks = len(asyncio.all_tasks())
        streams = [connection.next_stream() for _ in range(50)]
        await connection.send(b"".join(call(stream, UNARY) for stream in streams))
        await eventually(lambda: len(asyncio.all_tasks()) > tasks + 50)

        cancel = http2.CANCEL.to_bytes(4)
        await connection.send(b"".join(http2.frame(http2.RST_STREAM, 0, stream, cancel) for stream in streams))

        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_requests_that_come_late_but_in_time_are_served():
    async with on_the_network(request_seconds=5) as address, greeted(address) as connection:
        await connection.send(call(1, UNARY))
        await asyncio.sleep(0.3)
        await connection.send(message(1, X.SerializeToString(), end=True))

        kind, _ = await end_of_a_call(connection)

        assert kind == http2.HEADERS


# Connections


async def test_a_connection_on_which_nothing_happens_is_closed():
    async with on_the_network(connection_idle_seconds=0.3) as address, greeted(address) as connection:
        begin = time.monotonic()
        frames = await frames_until_closed(connection)
        took = time.monotonic() - begin

        assert http2.GOAWAY in [kind for kind, _ in frames]
        assert 0.2 < took < 4


async def test_a_client_whose_idle_connection_was_closed_does_not_notice():
    async with (
        on_the_network(connection_idle_seconds=0.2) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        for _ in range(4):
            assert await calling(channel)(X, timeout=5) == X
            await asyncio.sleep(0.3)


async def test_a_connection_that_never_speaks_is_closed():
    async with on_the_network(handshake_seconds=0.3) as address, connected(address) as connection:
        assert await connection.ended(5)


async def test_an_old_connection_is_replaced_without_a_failure():
    async with (
        on_the_network(connection_age_seconds=0.2) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        for _ in range(20):
            assert await calling(channel)(X, timeout=5) == X
            await asyncio.sleep(0.03)


async def test_more_connections_than_there_may_be_are_closed_at_once():
    async with on_the_network(maximum_connections=2) as address:
        async with greeted(address), greeted(address), greeted(address) as third:
            assert await third.ended(5)

        codes = [await code_of_a_call(address) for _ in range(5)]

        assert codes[-1] is grpc.StatusCode.OK


async def test_who_pings_too_often_is_told_to_calm_down():
    async with on_the_network() as address, greeted(address) as connection:
        await connection.send(http2.frame(http2.PING, 0, 0, b"8 bytes!") * 10)

        goodbyes = [payload for kind, payload in await frames_until_closed(connection) if kind == http2.GOAWAY]

        assert ENHANCE_YOUR_CALM in [struct.unpack(">II", payload[:8])[1] for payload in goodbyes]
        assert b"too_many_pings" in b"".join(goodbyes)
