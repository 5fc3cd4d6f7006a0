"""Between the module's entities and its contract."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.times import from_timestamp, to_timestamp
from aura.mentalhealth.application.use_cases.schedule_therapy_session import Booking
from aura.mentalhealth.domain.entities.disorder import Disorder, DisorderKind, canonical_code
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import CancellingParty, SessionState, TherapySession, Transition
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderFilter
from generated.aura.mentalhealth.v1 import (
    disorder_pb2,
    disorder_service_pb2,
    therapy_session_pb2,
    therapy_session_service_pb2,
)


def booking_from_proto(request: therapy_session_service_pb2.ScheduleTherapySessionRequest) -> Booking:
    """Returns what a request asks to book."""
    return Booking(
        therapist_id=UUID(request.therapist_id),
        patient_id=UUID(request.patient_id),
        period=Period(start=from_timestamp(request.start_time), end=from_timestamp(request.end_time)),
        time_zone=request.time_zone,
    )


def party_from_proto(value: therapy_session_pb2.CancellingParty.ValueType) -> CancellingParty:
    """Returns the party that a value of the contract stands for."""
    return CancellingParty(therapy_session_pb2.CancellingParty.Name(value).removeprefix("CANCELLING_PARTY_"))


def filter_from_proto(request: disorder_service_pb2.ListDisordersRequest) -> DisorderFilter:
    """Returns which entries a request asks for."""
    kind = disorder_pb2.DisorderKind.Name(request.kind).removeprefix("DISORDER_KIND_")
    return DisorderFilter(
        parent_code=canonical_code(request.parent_code) if request.parent_code else None,
        kind=DisorderKind(kind) if request.kind else None,
        billable_only=request.billable_only,
    )


def session_to_proto(session: TherapySession) -> therapy_session_pb2.TherapySession:
    """Returns a session as the contract describes it."""
    return therapy_session_pb2.TherapySession(
        session_id=str(session.session_id),
        therapist_id=str(session.therapist_id),
        patient_id=str(session.patient_id),
        start_time=to_timestamp(session.period.start),
        end_time=to_timestamp(session.period.end),
        time_zone=session.time_zone,
        state=_state_to_proto(session.state),
        actual_start_time=to_timestamp(session.actual_start_time) if session.actual_start_time else None,
        actual_end_time=to_timestamp(session.actual_end_time) if session.actual_end_time else None,
        cancelled_by=therapy_session_pb2.CancellingParty.Value(
            f"CANCELLING_PARTY_{session.cancelled_by or 'UNSPECIFIED'}"
        ),
        transitions=map(_transition_to_proto, session.transitions),
        create_time=to_timestamp(session.create_time),
        update_time=to_timestamp(session.update_time),
        etag=f"{session.version}",
    )


def disorder_to_proto(disorder: Disorder) -> disorder_pb2.Disorder:
    """Returns an entry of the catalogue as the contract describes it."""
    values = {name: value for name, value in vars(disorder).items() if name not in {"kind", "position"}}
    return disorder_pb2.Disorder(kind=disorder_pb2.DisorderKind.Value(f"DISORDER_KIND_{disorder.kind}"), **values)


def _transition_to_proto(transition: Transition) -> therapy_session_pb2.TherapySessionTransition:
    return therapy_session_pb2.TherapySessionTransition(
        from_state=_state_to_proto(transition.from_state),
        to_state=_state_to_proto(transition.to_state),
        actor=transition.actor,
        reason=transition.reason,
        occur_time=to_timestamp(transition.occur_time),
    )


def _state_to_proto(state: SessionState | None) -> therapy_session_pb2.TherapySessionState.ValueType:
    return therapy_session_pb2.TherapySessionState.Value(f"THERAPY_SESSION_STATE_{state or 'UNSPECIFIED'}")
