"""Programs that call some services in their own name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from aura.users.models.user import metadata


@dataclass(frozen=True, kw_only=True)
class ServiceClient:
    """A program that calls some services in its own name."""

    client_id: UUID
    display_name: str
    secret_hash: bytes
    services: tuple[str, ...]
    create_time: datetime
    end_time: datetime | None = None


service_clients_table = Table(
    "service_clients",
    metadata,
    Column("client_id", Uuid, primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("services", ARRAY(Text), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("end_time", DateTime(timezone=True)),
)
