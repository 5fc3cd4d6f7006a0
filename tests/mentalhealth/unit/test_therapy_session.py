from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import (
    LEGAL_TRANSITIONS,
    CancellingParty,
    SessionState,
    TherapySession,
)
from aura.mentalhealth.domain.errors import IllegalTransition, StartInPast, TooEarlyForNoShow, TooEarlyToStart

NOW = datetime(2030, 3, 1, 12, tzinfo=UTC)
TEN = NOW + timedelta(hours=1)
LATER = TEN + timedelta(minutes=15)


def scheduled(*, start: datetime = TEN, minutes: int = 50) -> TherapySession:
    return TherapySession.schedule(
        session_id=uuid.uuid4(),
        therapist_id=uuid.uuid4(),
        patient_id=uuid.uuid4(),
        period=Period(start=start, end=start + timedelta(minutes=minutes)),
        time_zone="UTC",
        actor="ada",
        now=NOW,
    )


def in_state(state: SessionState) -> TherapySession:
    session = scheduled()
    if state in {SessionState.IN_PROGRESS, SessionState.COMPLETED}:
        session.start(actor="ada", reason="", now=TEN)
    if state is SessionState.COMPLETED:
        session.end(actor="ada", reason="", now=TEN)
    if state is SessionState.NO_SHOW:
        session.mark_no_show(actor="ada", reason="", now=TEN + timedelta(minutes=15))
    if state is SessionState.CANCELLED:
        session.cancel(actor="ada", by=CancellingParty.CLINIC, reason="", now=TEN)
    return session


def become(session: TherapySession, state: SessionState) -> None:
    changes = {
        SessionState.IN_PROGRESS: lambda: session.start(actor="bob", reason="because", now=LATER),
        SessionState.COMPLETED: lambda: session.end(actor="bob", reason="because", now=LATER),
        SessionState.CANCELLED: lambda: session.cancel(
            actor="bob", by=CancellingParty.PATIENT, reason="because", now=LATER
        ),
        SessionState.NO_SHOW: lambda: session.mark_no_show(actor="bob", reason="because", now=LATER),
        SessionState.SCHEDULED: lambda: session.reschedule(
            period=Period(start=LATER, end=LATER + timedelta(minutes=30)), actor="bob", reason="because", now=LATER
        ),
    }
    changes[state]()


@pytest.mark.parametrize(("before", "after"), list(itertools.product(SessionState, SessionState)))
def test_makes_legal_transitions_only(before: SessionState, after: SessionState):
    session = in_state(before)
    version, history = session.version, list(session.transitions)

    if (before, after) in LEGAL_TRANSITIONS:
        become(session, after)
        assert (session.state, session.version) == (after, version + 1)
        change = session.transitions[-1]
        assert (change.from_state, change.to_state) == (before, after)
        assert (change.actor, change.reason, change.occur_time) == ("bob", "because", LATER)
    else:
        with pytest.raises(IllegalTransition) as refused:
            become(session, after)
        assert refused.value.metadata == {"state": before, "requested_state": after}
        assert (session.state, session.version, session.transitions) == (before, version, history)


def test_begins_its_history_with_the_booking():
    session = scheduled()

    (booked,) = session.transitions
    assert (booked.from_state, booked.to_state, booked.actor, booked.occur_time) == (None, "SCHEDULED", "ada", NOW)


@pytest.mark.parametrize("late", [timedelta(0), timedelta(minutes=5)])
def test_may_be_booked_for_now(late: timedelta):
    assert scheduled(start=NOW - late).period.start == NOW - late


def test_cannot_be_booked_into_the_past():
    with pytest.raises(StartInPast) as refused:
        scheduled(start=NOW - timedelta(minutes=5, microseconds=1))

    assert [violation.field for violation in refused.value.violations] == ["start_time"]


def test_starts_from_fifteen_minutes_before_its_time():
    session = scheduled()

    with pytest.raises(TooEarlyToStart):
        session.start(actor="ada", reason="", now=TEN - timedelta(minutes=15, microseconds=1))
    session.start(actor="ada", reason="", now=TEN - timedelta(minutes=15))

    assert session.actual_start_time == TEN - timedelta(minutes=15)


def test_keeps_the_real_times_beside_the_planned_ones():
    session = scheduled()

    session.start(actor="ada", reason="", now=TEN + timedelta(minutes=3))
    session.end(actor="ada", reason="", now=TEN + timedelta(minutes=40))

    assert session.period == Period(start=TEN, end=TEN + timedelta(minutes=50))
    assert session.actual_start_time == TEN + timedelta(minutes=3)
    assert session.actual_end_time == TEN + timedelta(minutes=40)


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [((0, 10), (10, 20), False), ((0, 10), (9, 20), True), ((0, 20), (5, 10), True), ((5, 10), (0, 20), True)],
)
def test_periods_are_half_open(first: tuple[int, int], second: tuple[int, int], overlap: bool):  # noqa: FBT001
    a, b = (Period(start=TEN + timedelta(minutes=s), end=TEN + timedelta(minutes=e)) for s, e in (first, second))

    assert a.overlaps(b) is overlap
    assert b.overlaps(a) is overlap


def test_a_move_keeps_the_sessions_identity_and_shows_in_its_history():
    session = scheduled()
    identity = (session.session_id, session.therapist_id, session.patient_id, session.create_time)

    session.reschedule(period=Period(start=LATER, end=LATER + timedelta(hours=1)), actor="bob", reason="asked", now=NOW)

    assert (session.session_id, session.therapist_id, session.patient_id, session.create_time) == identity
    assert session.period.start == LATER
    assert [(change.from_state, change.to_state, change.reason) for change in session.transitions] == [
        (None, "SCHEDULED", ""),
        ("SCHEDULED", "SCHEDULED", "asked"),
    ]


def test_cannot_be_moved_into_the_past():
    session = scheduled()

    with pytest.raises(StartInPast):
        session.reschedule(period=Period(start=NOW - timedelta(hours=1), end=TEN), actor="bob", reason="", now=NOW)

    assert (session.period.start, session.version) == (TEN, 1)


def test_is_missed_from_fifteen_minutes_after_its_time_on():
    session = scheduled()

    with pytest.raises(TooEarlyForNoShow) as refused:
        session.mark_no_show(actor="bob", reason="", now=TEN + timedelta(minutes=14, seconds=59))

    assert refused.value.metadata == {"earliest": (TEN + timedelta(minutes=15)).isoformat()}
    assert session.state is SessionState.SCHEDULED
