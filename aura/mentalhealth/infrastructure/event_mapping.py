"""The module's events as its contract and its audit trail have them."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from aura.kernel.audit import AuditEntry
from aura.kernel.times import to_timestamp
from aura.mentalhealth.domain import events
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from generated.aura.mentalhealth.v1 import events_pb2, therapy_session_pb2


def to_proto(event: events.SessionEvent | events.EmergencyAccessBegun) -> Message:
    """Returns an event as the contract has it."""
    if isinstance(event, events.SessionEvent):
        return _session_event(event)
    return events_pb2.EmergencyAccessBegun(
        access_id=str(event.access_id),
        user_id=str(event.user_id),
        patient_id=str(event.patient_id),
        expire_time=to_timestamp(event.expire_time),
    )


def _session_event(event: events.SessionEvent) -> Message:
    whose: dict[str, Any] = {
        "session_id": str(event.session_id),
        "therapist_id": str(event.therapist_id),
        "patient_id": str(event.patient_id),
    }
    match event:
        case events.TherapySessionScheduled(period=period):
            start, end = to_timestamp(period.start), to_timestamp(period.end)
            return events_pb2.TherapySessionScheduled(**whose, start_time=start, end_time=end)
        case events.TherapySessionRescheduled(period=period):
            start, end = to_timestamp(period.start), to_timestamp(period.end)
            return events_pb2.TherapySessionRescheduled(**whose, start_time=start, end_time=end)
        case events.TherapySessionCancelled(cancelled_by=party):
            by = therapy_session_pb2.CancellingParty.Value(f"CANCELLING_PARTY_{party}")
            return events_pb2.TherapySessionCancelled(**whose, cancelled_by=by)
        case events.TherapySessionStarted():
            return events_pb2.TherapySessionStarted(**whose)
        case events.TherapySessionEnded():
            return events_pb2.TherapySessionEnded(**whose)
        case events.TherapySessionNoShow():
            return events_pb2.TherapySessionNoShow(**whose)
    raise TypeError(f"{type(event).__name__} is in no contract")


def to_audit_entry(event: events.SessionEvent | events.EmergencyAccessBegun, *, action: str) -> AuditEntry:
    """Returns an event as the audit trail has it: by its type's name, and with the ids of whom it concerns."""
    if isinstance(event, events.EmergencyAccessBegun):
        return emergency_entry(event, action=action)
    details = {"therapist_id": str(event.therapist_id), "patient_id": str(event.patient_id)}
    return AuditEntry(action=action, subject=str(event.session_id), details=details)


def emergency_entry(access: EmergencyAccess | events.EmergencyAccessBegun, *, action: str) -> AuditEntry:
    """Returns what has become of an emergency access as the audit trail has it; the reason stays with the access."""
    details = {"user_id": str(access.user_id), "patient_id": str(access.patient_id)}
    return AuditEntry(action=action, subject=str(access.access_id), details=details)
