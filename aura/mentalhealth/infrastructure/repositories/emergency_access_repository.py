"""Emergency accesses in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from aura.kernel.database import Execute, fields_of
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.errors import EmergencyAccessNotFound
from aura.mentalhealth.domain.repositories.emergency_access_repository import EmergencyAccessFilter
from aura.mentalhealth.infrastructure.tables import emergency_accesses

_ACCESS = emergency_accesses.c


class PostgresEmergencyAccessRepository:
    """Keeps emergency accesses."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def add(self, access: EmergencyAccess) -> None:
        """Adds an access."""
        await self._execute(insert(emergency_accesses), _to_row(access))

    async def get(self, access_id: UUID) -> EmergencyAccess:
        """Returns an access; raises `EmergencyAccessNotFound`."""
        return await self._only(select(emergency_accesses).where(_ACCESS.access_id == access_id))

    async def get_for_update(self, access_id: UUID) -> EmergencyAccess:
        """Returns an access and locks it; raises `EmergencyAccessNotFound`."""
        return await self._only(select(emergency_accesses).where(_ACCESS.access_id == access_id).with_for_update())

    async def save(self, access: EmergencyAccess) -> None:
        """Stores the changes made to an access."""
        statement = update(emergency_accesses).where(_ACCESS.access_id == access.access_id)
        await self._execute(statement.values(end_time=access.end_time))

    async def active(self, *, user_id: UUID, patient_id: UUID, now: datetime) -> UUID | None:
        """Returns the id of an access that shows a patient to a user; None if there is none."""
        query = select(_ACCESS.access_id).where(
            _ACCESS.user_id == user_id,
            _ACCESS.patient_id == patient_id,
            _ACCESS.end_time.is_(None),
            _ACCESS.expire_time > now,
        )
        rows = await self._execute(query.limit(1))
        return rows[0].access_id if rows else None

    async def list(self, where: EmergencyAccessFilter, *, after: UUID | None, limit: int) -> Sequence[EmergencyAccess]:
        """Returns up to `limit` accesses, the newest first, behind `after`."""
        query = select(emergency_accesses).order_by(_ACCESS.access_id.desc()).limit(limit)
        if where.user_id is not None:
            query = query.where(_ACCESS.user_id == where.user_id)
        if where.patient_id is not None:
            query = query.where(_ACCESS.patient_id == where.patient_id)
        if after is not None:
            query = query.where(_ACCESS.access_id < after)
        return [_to_access(row) for row in await self._execute(query)]

    async def _only(self, query: Any) -> EmergencyAccess:
        rows = await self._execute(query)
        if not rows:
            raise EmergencyAccessNotFound
        return _to_access(rows[0])


def _to_row(access: EmergencyAccess) -> dict[str, Any]:
    return {column.name: getattr(access, column.name) for column in emergency_accesses.columns}


def _to_access(row: Any) -> EmergencyAccess:
    return EmergencyAccess(**fields_of(row))
