"""The therapy session: an appointment, from booking to its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from aura.mentalhealth.domain import events
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.errors import IllegalTransition, StartInPast, TooEarlyForNoShow, TooEarlyToStart

START_EARLY = timedelta(minutes=15)
BOOK_LATE = timedelta(minutes=5)
NO_SHOW_GRACE = timedelta(minutes=15)
LONGEST = timedelta(hours=8)


class SessionState(StrEnum):
    """How far a session has come."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    NO_SHOW = "NO_SHOW"


class CancellingParty(StrEnum):
    """On whose behalf a session is cancelled."""

    PATIENT = "PATIENT"
    THERAPIST = "THERAPIST"
    CLINIC = "CLINIC"


LEGAL_TRANSITIONS = frozenset(
    {
        (SessionState.SCHEDULED, SessionState.SCHEDULED),
        (SessionState.SCHEDULED, SessionState.IN_PROGRESS),
        (SessionState.SCHEDULED, SessionState.CANCELLED),
        (SessionState.SCHEDULED, SessionState.NO_SHOW),
        (SessionState.IN_PROGRESS, SessionState.COMPLETED),
    }
)


@dataclass(frozen=True, kw_only=True)
class Transition:
    """A change of state, or of time if both states are the same: never changed, never removed."""

    from_state: SessionState | None
    to_state: SessionState
    actor: str
    reason: str
    occur_time: datetime


@dataclass(kw_only=True)
class TherapySession:
    """A session with its history. Every change goes through a method, which keeps the rules."""

    session_id: UUID
    therapist_id: UUID
    patient_id: UUID
    period: Period
    time_zone: str
    state: SessionState
    version: int
    create_time: datetime
    update_time: datetime
    actual_start_time: datetime | None = None
    actual_end_time: datetime | None = None
    cancelled_by: CancellingParty | None = None
    transitions: list[Transition] = field(default_factory=list)
    events: list[events.SessionEvent] = field(default_factory=list, compare=False)
    """What has happened to it since it was made or read."""

    @classmethod
    def schedule(
        cls,
        *,
        session_id: UUID,
        therapist_id: UUID,
        patient_id: UUID,
        period: Period,
        time_zone: str,
        actor: str,
        now: datetime,
    ) -> TherapySession:
        """Returns a new session; one that begins now may be booked up to five minutes late.

        Raises:
            StartInPast: The session would begin in the past.
        """
        _require_not_past(period, now)
        booked = Transition(from_state=None, to_state=SessionState.SCHEDULED, actor=actor, reason="", occur_time=now)
        session = cls(
            session_id=session_id,
            therapist_id=therapist_id,
            patient_id=patient_id,
            period=period,
            time_zone=time_zone,
            state=SessionState.SCHEDULED,
            version=1,
            create_time=now,
            update_time=now,
            transitions=[booked],
        )
        session.events.append(events.TherapySessionScheduled(**session.identity, period=period))
        return session

    @property
    def participant_ids(self) -> tuple[UUID, UUID]:
        """Those whose time the session takes up."""
        return self.therapist_id, self.patient_id

    @property
    def is_scheduled(self) -> bool:
        """Whether it is yet to come."""
        return self.state is SessionState.SCHEDULED

    @property
    def identity(self) -> dict[str, UUID]:
        """What its events say of it."""
        return {"session_id": self.session_id, "therapist_id": self.therapist_id, "patient_id": self.patient_id}

    def reschedule(self, *, period: Period, actor: str, reason: str, now: datetime) -> None:
        """Moves the session to another time.

        Raises:
            IllegalTransition: It is not scheduled.
            StartInPast: It would begin in the past.
        """
        self._require(SessionState.SCHEDULED)
        _require_not_past(period, now)
        self._become(SessionState.SCHEDULED, actor=actor, reason=reason, now=now)
        self.period = period
        self.events.append(events.TherapySessionRescheduled(**self.identity, period=period))

    def start(self, *, actor: str, reason: str, now: datetime) -> None:
        """Starts the session, from fifteen minutes before its time on.

        Raises:
            IllegalTransition: It is not scheduled.
            TooEarlyToStart: It is long before its time.
        """
        self._require(SessionState.IN_PROGRESS)
        earliest = self.period.start - START_EARLY
        if now < earliest:
            raise TooEarlyToStart(earliest=earliest)
        self._become(SessionState.IN_PROGRESS, actor=actor, reason=reason, now=now)
        self.actual_start_time = now
        self.events.append(events.TherapySessionStarted(**self.identity))

    def end(self, *, actor: str, reason: str, now: datetime) -> None:
        """Ends the session.

        Raises:
            IllegalTransition: It is not in progress.
        """
        self._become(SessionState.COMPLETED, actor=actor, reason=reason, now=now)
        self.actual_end_time = now
        self.events.append(events.TherapySessionEnded(**self.identity))

    def cancel(self, *, actor: str, by: CancellingParty, reason: str, now: datetime) -> None:
        """Calls the session off.

        Raises:
            IllegalTransition: It is not scheduled.
        """
        self._become(SessionState.CANCELLED, actor=actor, reason=reason, now=now)
        self.cancelled_by = by
        self.events.append(events.TherapySessionCancelled(**self.identity, cancelled_by=by))

    def mark_no_show(self, *, actor: str, reason: str, now: datetime) -> None:
        """Records that the patient did not come, from fifteen minutes after the session's time on.

        Raises:
            IllegalTransition: It is not scheduled.
            TooEarlyForNoShow: The patient may still come.
        """
        self._require(SessionState.NO_SHOW)
        earliest = self.period.start + NO_SHOW_GRACE
        if now < earliest:
            raise TooEarlyForNoShow(earliest=earliest)
        self._become(SessionState.NO_SHOW, actor=actor, reason=reason, now=now)
        self.events.append(events.TherapySessionNoShow(**self.identity))

    def _require(self, state: SessionState) -> None:
        if (self.state, state) not in LEGAL_TRANSITIONS:
            raise IllegalTransition(state=self.state, requested=state)

    def _become(self, state: SessionState, *, actor: str, reason: str, now: datetime) -> None:
        self._require(state)
        self.transitions.append(
            Transition(from_state=self.state, to_state=state, actor=actor, reason=reason, occur_time=now)
        )
        self.state = state
        self.update_time = now
        self.version += 1


def _require_not_past(period: Period, now: datetime) -> None:
    if period.start < now - BOOK_LATE:
        raise StartInPast(start=period.start, now=now)
