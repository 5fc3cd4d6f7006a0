"""Who was shown which sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.entities.therapy_session import TherapySession


class AccessAudit(Protocol):
    """Writes down what a caller is about to be shown; what it returns from has been stored for good."""

    async def read(self, session: TherapySession, *, emergency: UUID | None = None) -> None:
        """Writes down that the caller is shown a session, and by which emergency access, if by one."""
        ...

    async def listed(
        self, sessions: Sequence[TherapySession], *, patient_id: UUID | None, emergency: UUID | None = None
    ) -> None:
        """Writes down that the caller is shown a page of sessions, those of one patient if that was asked for."""
        ...

    async def refused(self, session: TherapySession) -> None:
        """Writes down that the caller is told that a participant of a session is busy, and when both are free."""
        ...

    async def emergencies(self, accesses: Sequence[EmergencyAccess]) -> None:
        """Writes down that the caller is shown a page of emergency accesses."""
        ...
