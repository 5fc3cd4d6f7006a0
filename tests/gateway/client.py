"""Clients of the gateway: one that speaks ASGI with it, and one that speaks bytes with a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

CLIENT = ("192.0.2.7", 40_000)


@dataclass
class Answer:
    """What a client gets."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]

    def detail(self, kind: str) -> dict[str, Any]:
        """The one detail of a type of the error."""
        (found,) = (each for each in self.json["details"] if each["@type"].endswith(f"/google.rpc.{kind}"))
        return found

    @property
    def reason(self) -> str:
        return self.detail("ErrorInfo")["reason"]

    @property
    def fields(self) -> list[str]:
        """The fields that the error names."""
        found = [each for each in self.json["details"] if each["@type"].endswith("BadRequest")]
        return [violation["field"] for each in found for violation in each["fieldViolations"]]


class Client:
    """Asks an ASGI application, as a server would."""

    def __init__(self, application: Any, headers: dict[str, str] | None = None) -> None:
        self.application = application
        self.headers = headers or {}

    async def __call__(
        self,
        verb: str,
        target: str,
        body: Any = None,
        *,
        parts: Iterable[bytes] | None = None,
        leave: asyncio.Event | None = None,
        seen: Callable[[bytes], None] = lambda _: None,
        **headers: str,
    ) -> Answer:
        """Returns the answer.

        Args:
            body: bytes, or what becomes JSON.
            parts: the parts in which the body arrives, instead.
            leave: the client is gone when this is set.
            seen: is told each part of the answer's body when it comes.
            headers: `_` in their names stands for `-`.
        """
        given = {name.replace("_", "-"): value for name, value in (self.headers | headers).items()}
        if body is not None:
            parts = [body if isinstance(body, bytes) else json.dumps(body).encode()]
            given.setdefault("content-length", str(len(parts[0])))
        elif parts is not None:
            given.setdefault("transfer-encoding", "chunked")
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": verb,
            "raw_path": path.encode(),
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
            "client": CLIENT,
        }
        left, waiting, answer = list(parts or ()), leave or asyncio.Event(), Answer()

        async def receive() -> dict[str, Any]:
            if left:
                part = left.pop(0)
                return {"type": "http.request", "body": part, "more_body": bool(left)}
            await waiting.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [(name.decode(), value.decode("latin-1")) for name, value in message["headers"]]
            elif message.get("body"):
                answer.body += message["body"]
                seen(message["body"])

        await self.application(scope, receive, send)
        return answer


async def exchange(port: int, request: bytes, *, seconds: float = 10.0) -> bytes:
    """Sends bytes to a server; returns all that it answers until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()
