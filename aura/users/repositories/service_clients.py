"""Reads and writes clients: programs that call in their own name."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, update

from aura.kernel.database import Execute
from aura.kernel.query import Query
from aura.users.models.service_client import ServiceClient, service_clients_table

_CLIENTS = service_clients_table.c
_GET = Query(select(service_clients_table).where(_CLIENTS.client_id == bindparam("client_id")))


class ServiceClientRepository:
    """The clients, in PostgreSQL."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def get(self, client_id: UUID) -> ServiceClient | None:
        """Returns a client; None if there is none, or it is out of use."""
        rows = await self._execute(_GET, {"client_id": client_id})
        return _to_client(rows[0]) if rows and rows[0].end_time is None else None

    async def add(self, client: ServiceClient) -> None:
        """Adds a client."""
        await self._execute(insert(service_clients_table), {**vars(client), "services": list(client.services)})

    async def end(self, client_id: UUID, now: datetime) -> bool:
        """Takes a client out of use; returns False if there is none. One that is out of use already stays so."""
        rows = await self._execute(select(_CLIENTS.end_time).where(_CLIENTS.client_id == client_id).with_for_update())
        if rows and rows[0].end_time is None:
            ended = update(service_clients_table).where(_CLIENTS.client_id == client_id)
            await self._execute(ended.values(end_time=now))
        return bool(rows)


def _to_client(row: Any) -> ServiceClient:
    return ServiceClient(
        client_id=row.client_id,
        display_name=row.display_name,
        secret_hash=row.secret_hash,
        services=tuple(row.services),
        create_time=row.create_time,
        end_time=row.end_time,
    )
