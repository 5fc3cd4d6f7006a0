"""Where emergency accesses are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess


@dataclass(frozen=True, kw_only=True)
class EmergencyAccessFilter:
    """Which accesses to list; what is not set does not limit."""

    user_id: UUID | None = None
    patient_id: UUID | None = None


class EmergencyAccessRepository(Protocol):
    """Keeps emergency accesses."""

    async def add(self, access: EmergencyAccess) -> None:
        """Adds an access."""
        ...

    async def get(self, access_id: UUID) -> EmergencyAccess:
        """Returns an access.

        Raises:
            EmergencyAccessNotFound: There is none with this id.
        """
        ...

    async def get_for_update(self, access_id: UUID) -> EmergencyAccess:
        """Returns an access, and keeps others from changing it until the unit of work ends.

        Raises:
            EmergencyAccessNotFound: There is none with this id.
        """
        ...

    async def save(self, access: EmergencyAccess) -> None:
        """Stores the changes made to an access."""
        ...

    async def active(self, *, user_id: UUID, patient_id: UUID, now: datetime) -> UUID | None:
        """Returns the id of an access that shows a patient to a user; None if there is none."""
        ...

    async def list(self, where: EmergencyAccessFilter, *, after: UUID | None, limit: int) -> Sequence[EmergencyAccess]:
        """Returns up to `limit` accesses, the newest first, behind `after`."""
        ...
