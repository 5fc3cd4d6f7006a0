"""Sends requests to a platform as fast as it answers, and finds fault with the answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tests.gateway.client import Answer
from tests.rest.hostile import PUBLIC, SECRET, Request

CONNECTIONS = 12
PATIENCE_SECONDS = 0.1
"""How long an answer is waited for that need not come."""
ANSWER_SECONDS = 30.0
LONGEST = 2**22
ALLOWED_FAILURES = (503, 504)
INSIDES = re.compile(
    rb"""Traceback|File \\?"|\.py\b|site-packages|<class|object at 0x|\b\w+(?:Error|Exception)\b|asyncpg|sqlalchemy"""
    rb"""|\bSELECT\b|\bINSERT\b|\bUPDATE\b|psycopg|grpc\.aio|aura\.kernel|/home/|/usr/|/tmp/|postgres""",
)
"""What would show of what an answer is made."""
OF_A_STATUS = {"code", "message", "details"}


@dataclass
class Findings:
    """What was found.

    Attributes:
        answered: How many requests had which status; 0: no answer.
        faults: What was wrong with the answers, with an example each.
    """

    answered: Counter[int] = field(default_factory=Counter)
    faults: dict[str, tuple[int, str]] = field(default_factory=dict)

    def note(self, request: Request, answer: Answer) -> None:
        """Judges an answer."""
        self.answered[answer.status] += 1
        for fault in faults_of(request, answer):
            count, example = self.faults.get(fault, (0, ""))
            shown = f"{request.changes} {request.data[:1500]!r} -> {answer.headers} {answer.body[:800]!r}"
            self.faults[fault] = (count + 1, example or shown)

    def count(self, beginning: str) -> int:
        """How many faults there were of a kind."""
        return sum(count for fault, (count, _) in self.faults.items() if fault.startswith(beginning))


def faults_of(request: Request, answer: Answer) -> Iterator[str]:
    """Yields what is wrong with an answer."""
    if not answer.status:
        if request.is_whole:
            yield "no answer"
        return
    if answer.status >= 500 and not is_asked_for(request, answer):
        yield f"server error {answer.status}"
    if answer.status < 400:
        return
    headers = " ".join(value for name, value in answer.headers if name != "x-request-id")
    for word in (SECRET, PUBLIC):
        if word in answer.body.decode(errors="replace").casefold() or word in headers.casefold():
            yield f"leak of what was sent: {word}"
    if INSIDES.search(answer.body):
        yield "leak of what it is made of"
    if not request.data.startswith(b"HEAD "):
        yield from _faults_of_form(answer)


def is_asked_for(request: Request, answer: Answer) -> bool:
    """Whether a failure is no fault: the time that the caller has is up, or something is down."""
    return answer.status in ALLOWED_FAILURES and (answer.status != 504 or request.asks_for_time)


def _faults_of_form(answer: Answer) -> Iterator[str]:
    if answer.header("content-type") != "application/json":
        yield f"an error of type {answer.header('content-type')}"
        return
    try:
        status = json.loads(answer.body)
    except ValueError:
        yield "an error that is no JSON"
        return
    if set(status) != OF_A_STATUS or not isinstance(status["code"], int) or not isinstance(status["message"], str):
        yield "an error that is no google.rpc.Status"
    elif not status["message"] or any("@type" not in detail for detail in status["details"]):
        yield "an error that says nothing"


async def send_all(
    ports: list[int],
    make: Callable[[], Request],
    count: int,
    findings: Findings,
    seen: Callable[[Request, Answer], object] = lambda *_: None,
) -> None:
    """Sends so many requests, on several connections to each of the ports."""
    left = iter(range(count))

    async def work(port: int) -> None:
        connection = Connection(port)
        for _ in left:
            request = make()
            answer = await connection.ask(request)
            findings.note(request, answer)
            seen(request, answer)
        connection.close()

    await asyncio.gather(*(work(ports[number % len(ports)]) for number in range(CONNECTIONS)))


class Connection:
    """A connection to a server, made anew when a request or the server has ended it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> Answer:
        """Sends a request and returns the answer; one without a status if none came."""
        is_fresh = self._streams is None
        answer = await self._exchange(request)
        if not answer.status and not is_fresh:  # the server had closed it meanwhile
            answer = await self._exchange(request)
        return answer

    def close(self) -> None:
        """Ends the connection."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _exchange(self, request: Request) -> Answer:
        answer = Answer()
        ended = True
        try:
            async with asyncio.timeout(ANSWER_SECONDS if request.is_whole else PATIENCE_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=LONGEST)
                reader, writer = self._streams
                writer.write(request.data)
                answer, ended = await _read(reader, is_head=request.data.startswith(b"HEAD "))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass
        if ended or not request.is_framed:
            self.close()
        return answer


async def _read(reader: asyncio.StreamReader, *, is_head: bool) -> tuple[Answer, bool]:
    """Reads an answer; says whether the connection ends with it."""
    head = b""
    while not head or head.startswith(b"HTTP/1.1 1"):
        head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    answer = Answer(status=int(first.split(" ")[1]), headers=headers)
    ended = answer.header("connection") == "close"
    if is_head or answer.status in (204, 304):
        return answer, ended
    length = answer.header("content-length")
    if length is not None:
        answer.body = await reader.readexactly(int(length))
    elif answer.header("transfer-encoding") == "chunked":
        with suppress(TimeoutError):
            while size := int(await reader.readuntil(b"\r\n"), 16):
                answer.body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
    else:
        answer.body = await reader.read()
    return answer, ended
