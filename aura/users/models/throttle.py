"""How often something may be tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Column, DateTime, Integer, Table, Text

from aura.users.models.user import metadata


@dataclass(frozen=True, kw_only=True)
class Limit:
    """How many attempts may be made, and for how long none may once there were so many: from the last one on."""

    attempts: int
    pause: timedelta


throttles_table = Table(
    "throttles",
    metadata,
    Column("key", Text, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("until_time", DateTime(timezone=True), nullable=False, index=True),
)
