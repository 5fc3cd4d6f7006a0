from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.entities.therapy_session import TherapySession


class FakeAccessAudit:
    """Remembers which sessions were shown, one list for each time."""

    def __init__(self) -> None:
        self.shown: list[list[UUID]] = []

    async def read(self, session: TherapySession, *, emergency: UUID | None = None) -> None:
        del emergency
        self.shown.append([session.session_id])

    async def listed(
        self, sessions: Sequence[TherapySession], *, patient_id: UUID | None, emergency: UUID | None = None
    ) -> None:
        del patient_id, emergency
        self.shown.append([session.session_id for session in sessions])

    async def refused(self, session: TherapySession) -> None:
        del session

    async def emergencies(self, accesses: Sequence[EmergencyAccess]) -> None:
        self.shown.append([access.access_id for access in accesses])
