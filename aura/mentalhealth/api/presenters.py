"""Between the module's entities and its contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from google.protobuf.message import Message

from aura.kernel.etags import etag_of
from aura.kernel.times import from_date, from_timestamp, to_date, to_timestamp
from aura.mentalhealth.application.interfaces.session_statistics import (
    SessionCounts,
    StatisticsPeriod,
    StatisticsQuery,
    StatisticsRow,
)
from aura.mentalhealth.application.use_cases.get_availability import Availability
from aura.mentalhealth.application.use_cases.schedule_therapy_session import Booking
from aura.mentalhealth.domain.entities.disorder import Disorder, DisorderKind, canonical_code
from aura.mentalhealth.domain.entities.disorder_match import DisorderMatch
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import CancellingParty, SessionState, TherapySession, Transition
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderFilter
from aura.mentalhealth.domain.repositories.emergency_access_repository import EmergencyAccessFilter
from aura.mentalhealth.domain.repositories.therapy_session_repository import SessionFilter
from generated.aura.mentalhealth.v1 import (
    disorder_pb2,
    disorder_service_pb2,
    emergency_access_pb2,
    emergency_access_service_pb2,
    therapy_session_pb2,
    therapy_session_service_pb2,
)


def booking_from_proto(request: therapy_session_service_pb2.ScheduleTherapySessionRequest) -> Booking:
    """Returns what a request asks to book."""
    return Booking(
        therapist_id=UUID(request.therapist_id),
        patient_id=UUID(request.patient_id),
        period=period_from_proto(request),
        time_zone=request.time_zone,
    )


def period_from_proto(
    request: therapy_session_service_pb2.ScheduleTherapySessionRequest
    | therapy_session_service_pb2.RescheduleTherapySessionRequest
    | therapy_session_service_pb2.GetAvailabilityRequest,
) -> Period:
    """Returns the time that a request asks for."""
    return Period(
        start=from_timestamp(request.start_time, field="start_time"),
        end=from_timestamp(request.end_time, field="end_time"),
    )


def session_filter_from_proto(request: therapy_session_service_pb2.ListTherapySessionsRequest) -> SessionFilter:
    """Returns which sessions a request asks for."""
    return SessionFilter(
        therapist_id=UUID(request.therapist_id) if request.therapist_id else None,
        patient_id=UUID(request.patient_id) if request.patient_id else None,
        states=frozenset(map(_state_from_proto, request.states)),
        window_start=_time_of(request, "window_start"),
        window_end=_time_of(request, "window_end"),
    )


def statistics_query_from_proto(request: therapy_session_service_pb2.GetStatisticsRequest) -> StatisticsQuery:
    """Returns which sessions a request asks to count."""
    period = therapy_session_service_pb2.StatisticsPeriod.Name(request.period).removeprefix("STATISTICS_PERIOD_")
    return StatisticsQuery(
        start_date=from_date(request.start_date, field="start_date"),
        end_date=from_date(request.end_date, field="end_date"),
        time_zone=request.time_zone or "UTC",
        period=StatisticsPeriod(period) if request.period else StatisticsPeriod.MONTH,
        therapist_id=UUID(request.therapist_id) if request.therapist_id else None,
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
        etag=etag_of(session.version),
    )


def access_filter_from_proto(
    request: emergency_access_service_pb2.ListEmergencyAccessesRequest,
) -> EmergencyAccessFilter:
    """Returns which emergency accesses a request asks for."""
    return EmergencyAccessFilter(
        user_id=UUID(request.user_id) if request.user_id else None,
        patient_id=UUID(request.patient_id) if request.patient_id else None,
    )


def access_to_proto(access: EmergencyAccess) -> emergency_access_pb2.EmergencyAccess:
    """Returns an emergency access as the contract describes it."""
    return emergency_access_pb2.EmergencyAccess(
        access_id=str(access.access_id),
        user_id=str(access.user_id),
        patient_id=str(access.patient_id),
        reason=access.reason,
        create_time=to_timestamp(access.create_time),
        expire_time=to_timestamp(access.expire_time),
        end_time=to_timestamp(access.end_time) if access.end_time else None,
    )


def statistics_to_proto(rows: Sequence[StatisticsRow]) -> therapy_session_service_pb2.TherapySessionStatistics:
    """Returns counts as the contract describes them."""
    return therapy_session_service_pb2.TherapySessionStatistics(
        total=_counts_to_proto(SessionCounts.total([row.counts for row in rows])),
        rows=[
            therapy_session_service_pb2.TherapySessionStatisticsRow(
                period_start=to_date(row.period_start),
                therapist_id=str(row.therapist_id),
                counts=_counts_to_proto(row.counts),
            )
            for row in rows
        ],
    )


def availability_to_proto(availability: Availability) -> therapy_session_service_pb2.TherapistAvailability:
    """Returns when a therapist is free as the contract describes it."""
    return therapy_session_service_pb2.TherapistAvailability(
        free_periods=[
            therapy_session_service_pb2.FreePeriod(start_time=to_timestamp(free.start), end_time=to_timestamp(free.end))
            for free in availability.free_periods
        ],
        time_zone=availability.time_zone,
    )


def disorder_to_proto(disorder: Disorder) -> disorder_pb2.Disorder:
    """Returns an entry of the catalogue as the contract describes it."""
    values = {name: value for name, value in vars(disorder).items() if name not in {"kind", "position"}}
    return disorder_pb2.Disorder(kind=disorder_pb2.DisorderKind.Value(f"DISORDER_KIND_{disorder.kind}"), **values)


def match_to_proto(match: DisorderMatch) -> disorder_service_pb2.DisorderMatch:
    """Returns an entry that a search found as the contract describes it."""
    return disorder_service_pb2.DisorderMatch(
        disorder=disorder_to_proto(match.disorder), matched_text=match.matched_text
    )


def _time_of(request: Message, field: str) -> datetime | None:
    return from_timestamp(getattr(request, field), field=field) if request.HasField(field) else None


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


def _state_from_proto(value: therapy_session_pb2.TherapySessionState.ValueType) -> SessionState:
    return SessionState(therapy_session_pb2.TherapySessionState.Name(value).removeprefix("THERAPY_SESSION_STATE_"))


def _counts_to_proto(counts: SessionCounts) -> therapy_session_service_pb2.TherapySessionCounts:
    return therapy_session_service_pb2.TherapySessionCounts(
        no_show_rate=counts.no_show_rate,
        booked_minutes=counts.booked_minutes,
        held_minutes=counts.held_minutes,
        **{state.lower(): count for state, count in counts.by_state.items()},
    )
