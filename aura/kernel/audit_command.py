"""The part of the command line that reads audit trails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Annotated

import grpc
import typer
from google.protobuf.timestamp_pb2 import Timestamp

from aura.kernel.times import to_timestamp
from generated.aura.audit.v1 import audit_service_pb2 as pb
from generated.aura.audit.v1.audit_service_pb2_grpc import AuditServiceStub

SECONDS = 10.0
PAGE_SIZE = 1000
Connect = Callable[[str], AbstractAsyncContextManager[grpc.aio.Channel]]


def audit_command(modules: Collection[str], connect: Connect) -> Callable[..., None]:
    """Returns `aura audit`, which calls the process that hosts a module."""

    def audit(
        module: Annotated[str, typer.Argument(help="The module whose audit trail to read.")],
        *,
        subject: Annotated[str, typer.Option(help="Only about the user, session or other thing with this id.")] = "",
        actor: Annotated[str, typer.Option(help="Only what the user with this id did.")] = "",
        action: Annotated[str, typer.Option(help="Only this action; with * at its end, all that begin so.")] = "",
        begin: Annotated[datetime | None, typer.Option("--from", help="Only from this time (UTC) on.")] = None,
        end: Annotated[datetime | None, typer.Option("--to", help="Only before this time (UTC).")] = None,
        limit: Annotated[int, typer.Option(min=1, help="At most so many entries.")] = 50,
    ) -> None:
        """Show who did what, and who was shown what, the newest first. The audit trail tells that it was read."""
        if module not in modules:
            raise typer.BadParameter(f"no module {module}; there are {', '.join(modules)}")
        request = pb.ListAuditEntriesRequest(
            module=module, subject=subject, actor=actor, action=action, from_time=_utc(begin), to_time=_utc(end)
        )
        asyncio.run(_show(request, limit, connect))

    return audit


async def _show(request: pb.ListAuditEntriesRequest, limit: int, connect: Connect) -> None:
    async with connect(request.module) as channel:
        async for entry in _entries(channel, request, limit):
            typer.echo(_line(entry))


async def _entries(
    channel: grpc.aio.Channel, request: pb.ListAuditEntriesRequest, limit: int
) -> AsyncIterator[pb.AuditEntry]:
    stub = AuditServiceStub(channel)
    while limit > 0:
        request.page_size = min(limit, PAGE_SIZE)
        page = await stub.ListAuditEntries(request, timeout=SECONDS)
        for entry in page.entries:
            yield entry
        limit -= len(page.entries)
        request.page_token = page.next_page_token
        if not request.page_token:
            return


def _line(entry: pb.AuditEntry) -> str:
    where = {
        "actor": entry.actor,
        "via": entry.via_module,
        "source": entry.source,
        "request": entry.request_id,
        "trace": entry.trace_id,
    }
    known = " ".join(f"{name}={value}" for name, value in where.items() if value)
    details = json.dumps(dict(entry.details), sort_keys=True)
    return f"{entry.occur_time.ToJsonString()} {entry.action} {entry.subject or '-'} {known} {details}"


def _utc(time: datetime | None) -> Timestamp | None:
    return to_timestamp(time.replace(tzinfo=UTC)) if time else None
