"""Who was shown which sessions, in the module's audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.mentalhealth.domain.entities.therapy_session import TherapySession


class PostgresAccessAudit:
    """Writes each entry in a transaction of its own."""

    def __init__(self, *, audit_trail: AuditTrail) -> None:
        self._audit_trail = audit_trail

    async def read(self, session: TherapySession) -> None:
        """Writes down that the caller is shown a session."""
        details = {"patient_id": str(session.patient_id)}
        entry = AuditEntry(action="therapy_session.read", subject=str(session.session_id), details=details)
        await self._audit_trail.write_alone(entry)

    async def listed(self, sessions: Sequence[TherapySession], *, patient_id: UUID | None) -> None:
        """Writes down that the caller is shown a page of sessions."""
        details = {
            "sessions": str(len(sessions)),
            "session_ids": ", ".join(str(session.session_id) for session in sessions),
        }
        subject = str(patient_id) if patient_id else ""
        await self._audit_trail.write_alone(
            AuditEntry(action="therapy_sessions.listed", subject=subject, details=details)
        )
