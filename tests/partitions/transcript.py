"""Notes all that a client learns of its calls, in a form that is the same for the same behaviour."""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import grpc
from google.protobuf.json_format import MessageToDict
from grpc_status import rpc_status

from aura.kernel.database import sync_url

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NOW = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d[0-9.:+Z]*")
HASH = re.compile(r"\\\\x[0-9a-f]{64}")
DIFFERING = (
    *("data", "trace_parent", "lease", "attempts", "position", "dead_time", "dead_trace_id", "occur_time"),
    *("audit_id", "trace_id", "key_id", "public_key", "sealed_private_key", "password_hash", "salt", "code_hash"),
    *("secret_hash", "sealed"),
)
"""Columns with messages that have times in them, with what is random, and with how often something was tried."""

DETAILS = "grpc-status-details-bin"
SEALED = {"nextPageToken", "accessToken", "refreshToken", "clientSecret", "x", "kid"}


class Transcript:
    """The calls of one run. Ids are noted as when they first came, times and sealed tokens not at all."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self._ids: dict[str, str] = {}

    async def call(self, name: str, call: Any) -> Any:
        """Takes a call to its end and notes it; returns the last message it gave."""
        entry, response = await self.entry(name, call)
        self.entries.append(entry)
        return response

    async def entry(self, name: str, call: Any) -> tuple[Any, Any]:
        """Takes a call to its end; returns what to note of it, and the last message it gave."""
        responses: list[Any] = []
        code, details, error = grpc.StatusCode.OK, "", None
        try:
            if hasattr(call, "__aiter__"):
                async for response in call:
                    responses.append(response)  # noqa: PERF401 what came before a failure counts too
            else:
                responses.append(await call)
        except grpc.aio.AioRpcError as failure:
            code, details, error = failure.code(), failure.details(), rpc_status.from_call(failure)
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:  # the client's own clock and the server's answer race
            return {"name": name, "code": code.name, "responses": len(responses)}, None
        entry = {
            "name": name,
            "responses": [MessageToDict(response) for response in responses],
            "code": code.name,
            "details": details,
            "status": MessageToDict(error)["details"] if error else None,
            "initial": _grouped(await call.initial_metadata()),
            "trailing": _grouped(await call.trailing_metadata()),
        }
        return self._normal(entry), responses[-1] if responses else None

    def note(self, name: str, value: object) -> None:
        """Notes something else."""
        self.entries.append(self._normal({"name": name, "value": value}))

    def _normal(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: "…" if key in SEALED and value[key] else self._normal(value[key]) for key in value}
        if isinstance(value, (list, tuple)):
            return [self._normal(item) for item in value]
        return self.normal_text(value) if isinstance(value, str) else value

    def normal_text(self, text: str) -> str:
        """Returns a text without what differs from run to run."""
        return NOW.sub("<time>", UUID.sub(self._number, text))

    def known_text(self, text: str) -> str:
        """Returns a text without what differs from run to run; ids that no client has seen are alike."""
        return NOW.sub("<time>", UUID.sub(lambda found: self._ids.get(found[0], "<id>"), text))

    def _number(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"<id {len(self._ids) + 1}>")


async def digest_of(url: Any, tables: Iterable[str], transcript: Transcript) -> dict[str, str]:
    """Returns a digest of each table's rows, without their order and what differs from run to run."""
    connection = await asyncpg.connect(sync_url(url))
    try:
        found = {}
        for table in tables:
            columns = " ".join(f"- '{column}'" for column in DIFFERING)
            rows = await connection.fetch(f"SELECT (to_jsonb(t) {columns})::text AS row FROM {table} AS t")
            lines = sorted(HASH.sub("<hash>", transcript.known_text(row["row"])) for row in rows)
            found[table] = f"{len(lines)} rows, {hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]}"
        return found
    finally:
        await connection.close()


async def tables_of(url: Any, schemas: Iterable[str]) -> list[str]:
    """Returns the tables of some schemas, but for Alembic's."""
    connection = await asyncpg.connect(sync_url(url))
    try:
        rows = await connection.fetch(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables "
            "WHERE schemaname = ANY($1) AND tablename <> 'alembic_version' ORDER BY 1",
            list(schemas),
        )
        return [row["name"] for row in rows]
    finally:
        await connection.close()


@dataclass(frozen=True)
class Played:
    """What came of one run: what clients learned, and what the database holds."""

    entries: list[Any]
    digest: dict[str, str]


def assert_alike(played: Played, expected: Played) -> None:
    """Compares two runs, and shows each call in which they differ."""
    lines: list[str] = []
    for entry, wanted in zip(played.entries, expected.entries, strict=True):
        lines += _difference(entry, wanted, entry["name"])
    lines += _difference(played.digest, expected.digest, "database")
    assert lines == [], "\n".join(lines)


def _difference(found: Any, wanted: Any, name: str) -> list[str]:
    texts = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (wanted, found))
    return list(difflib.unified_diff(*texts, f"{name}, in one process", f"{name}, spread", lineterm="", n=4))


async def each(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def _grouped(metadata: Any) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, value in metadata or ():
        if key != DETAILS:
            grouped.setdefault(key, []).append(repr(value))
    return dict(sorted(grouped.items()))
