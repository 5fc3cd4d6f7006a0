"""Who was shown which sessions, in the module's audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.entities.therapy_session import TherapySession


class PostgresAccessAudit:
    """Writes each entry in a transaction of its own."""

    def __init__(self, *, audit_trail: AuditTrail) -> None:
        self._audit_trail = audit_trail

    async def read(self, session: TherapySession, *, emergency: UUID | None = None) -> None:
        """Writes down that the caller is shown a session."""
        details = {"patient_id": str(session.patient_id), **_by(emergency)}
        entry = AuditEntry(action="therapy_session.read", subject=str(session.session_id), details=details)
        await self._audit_trail.write_alone(entry)

    async def listed(
        self, sessions: Sequence[TherapySession], *, patient_id: UUID | None, emergency: UUID | None = None
    ) -> None:
        """Writes down that the caller is shown a page of sessions."""
        details = {
            "sessions": str(len(sessions)),
            "session_ids": ", ".join(str(session.session_id) for session in sessions),
            **_by(emergency),
        }
        subject = str(patient_id) if patient_id else ""
        await self._audit_trail.write_alone(
            AuditEntry(action="therapy_sessions.listed", subject=subject, details=details)
        )

    async def refused(self, session: TherapySession) -> None:
        """Writes down that the caller is told that a participant of a session is busy, and when both are free."""
        details = {"therapist_id": str(session.therapist_id), "patient_id": str(session.patient_id)}
        await self._audit_trail.write_alone(AuditEntry(action="therapy_session.refused", details=details))

    async def emergencies(self, accesses: Sequence[EmergencyAccess]) -> None:
        """Writes down that the caller is shown a page of emergency accesses."""
        details = {"access_ids": ", ".join(str(access.access_id) for access in accesses)}
        await self._audit_trail.write_alone(AuditEntry(action="emergency_accesses.listed", details=details))


def _by(emergency: UUID | None) -> dict[str, str]:
    return {"emergency_access_id": str(emergency)} if emergency else {}
