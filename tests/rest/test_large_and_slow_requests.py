"""What is too large or too slow is refused at once, and takes no memory."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import psutil
import pytest

from tests.gateway.client import Answer
from tests.rest.conftest import NewPlatform
from tests.rest.test_hostile_requests import FAILURES, is_there, lines_with
from tests.support.rest import parsed
from tests.support.rest_platform import RestPlatform

HUNDRED_MEGABYTES = 100 * 1024 * 1024
PART = bytes(256 * 1024)
PATIENCE_SECONDS = 1.0
"""How long headers, and a body, may take to arrive."""
MOST_GROWTH = 80 * 1024 * 1024
AT_A_TIME = 8
LOGIN = b"POST /api/auth/login HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\n"


@pytest.fixture(scope="module")
def platform(new_platform: NewPlatform) -> RestPlatform:
    return new_platform(request_seconds=PATIENCE_SECONDS, handshake_seconds=PATIENCE_SECONDS)


@pytest.fixture(autouse=True)
async def _goes_on(platform: RestPlatform) -> AsyncIterator[None]:
    yield
    assert await is_there(platform.urls[0]) == HTTPStatus.OK
    assert lines_with(FAILURES, platform.logs()) == []


@asynccontextmanager
async def bounded_memory(platform: RestPlatform) -> AsyncIterator[None]:
    """Sees that the memory of the process never grows much meanwhile."""
    process = psutil.Process(platform.servers[0].pid)
    before = most = process.memory_info().rss

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
    assert most - before < MOST_GROWTH


async def answers_to(port: int, head: bytes, parts: Iterator[bytes], *, pause: float = 0.0) -> Answer:
    """Sends a request part by part, as long as the server takes it; returns the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        with suppress(OSError):
            writer.write(head)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)

    sending = asyncio.create_task(send())
    received = b""
    try:
        with suppress(OSError):  # a server that is sent more than it takes may end the connection so
            async with asyncio.timeout(30):
                while part := await reader.read(65536):
                    received += part
    finally:
        sending.cancel()
        writer.close()
    return parsed(received)


def zeros() -> Iterator[bytes]:
    for _ in range(HUNDRED_MEGABYTES // len(PART)):
        yield PART


def in_chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def bomb() -> bytes:
    """A hundred megabytes, packed."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(part) for part in zeros()) + packer.flush()


BOMB = bomb()
TOO_LARGE = {
    "with its length": (b"content-length: %d\r\n" % HUNDRED_MEGABYTES, zeros),
    "in chunks": (b"transfer-encoding: chunked\r\n", lambda: in_chunks(zeros())),
    "packed": (b"content-encoding: gzip\r\ncontent-length: %d\r\n" % len(BOMB), lambda: iter([BOMB])),
    "packed, in chunks": (
        b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        lambda: in_chunks(BOMB[at : at + 1000] for at in range(0, len(BOMB), 1000)),
    ),
    "behind what is packed": (
        b"content-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        lambda: in_chunks(itertools.chain([gzip.compress(b"{}")], zeros())),
    ),
}


@pytest.mark.parametrize("kind", TOO_LARGE)
async def test_a_body_that_is_too_large_is_refused_and_not_kept(platform: RestPlatform, kind: str):
    header, parts = TOO_LARGE[kind]
    async with bounded_memory(platform):
        answers = await asyncio.gather(
            *(answers_to(platform.ports[0], LOGIN + header + b"\r\n", parts()) for _ in range(AT_A_TIME))
        )

    # the connection ends on those who go on sending, so that the answer may be lost on its way, or part of it
    assert {answer.status for answer in answers} - {0} <= {413, 400}
    for answer in answers:
        if str(len(answer.body)) == answer.header("content-length"):
            refused_in_form(answer)


SLOW = {
    "the first line": (b"", [bytes([letter]) for letter in LOGIN * 5], 408),
    "headers": (LOGIN, [b"x: a\r\n"] * 200, 408),
    "the body": (LOGIN + b"content-length: 1000\r\n\r\n", [b" "] * 200, 408),
    "the body, in chunks": (LOGIN + b"transfer-encoding: chunked\r\n\r\n", [b"1\r\n \r\n"] * 200, 408),
    "nothing of the body": (LOGIN + b"content-length: 1000\r\n\r\n", [], 408),
    "nothing": (b"", [], 408),
}


async def test_what_comes_too_slowly_is_given_up(platform: RestPlatform):
    async with bounded_memory(platform):
        answers: dict[str, Any] = dict(
            zip(
                SLOW,
                await asyncio.gather(
                    *(answers_to(platform.ports[0], head, iter(parts), pause=0.1) for head, parts, _ in SLOW.values())
                ),
                strict=True,
            )
        )

    assert {kind: answer.status for kind, answer in answers.items()} == {
        kind: end for kind, (_, _, end) in SLOW.items()
    }
    for answer in answers.values():
        refused_in_form(answer)


LONG = {
    "a header": b"GET / HTTP/1.1\r\nx: " + b"a" * 10_000_000,
    "headers": b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 2_000_000,
    "a name of a header": b"GET / HTTP/1.1\r\n" + b"a" * 10_000_000,
    "a path": b"GET /" + b"a" * 10_000_000,
    "trailers": LOGIN + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: a\r\n" * 2_000_000,
    "an extension of a chunk": LOGIN + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * 10_000_000,
}


async def test_what_is_before_or_behind_a_body_is_bounded_too(platform: RestPlatform):
    async with bounded_memory(platform):
        answers = await asyncio.gather(
            *(
                answers_to(platform.ports[0], b"", iter(text[at : at + 65536] for at in range(0, len(text), 65536)))
                for text in LONG.values()
            )
        )

    assert {answer.status for answer in answers} - {0} <= {400, 408, 414, 431}, dict(zip(LONG, answers, strict=True))


def refused_in_form(answer: Answer) -> None:
    assert answer.header("content-type") == "application/json"
    assert set(json.loads(answer.body)) == {"code", "message", "details"}
