"""Sessions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from aura.kernel.database import Connect, violated_constraint
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import CancellingParty, SessionState, TherapySession, Transition
from aura.mentalhealth.domain.errors import SessionNotFound, SessionOverlaps
from aura.mentalhealth.infrastructure.tables import session_participants, session_transitions, therapy_sessions

NO_OVERLAP = "session_participants_no_overlap"
_WITH_HISTORY = (
    select(therapy_sessions, session_transitions)
    .join_from(therapy_sessions, session_transitions, therapy_sessions.c.session_id == session_transitions.c.session_id)
    .order_by(session_transitions.c.sequence)
)


class PostgresTherapySessionRepository:
    """Keeps sessions; the database itself sees that no two of one person overlap."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def add(self, session: TherapySession) -> None:
        """Adds a session; raises `SessionOverlaps` if one of its participants is taken."""
        async with self._connect() as connection:
            await connection.execute(insert(therapy_sessions).values(_to_row(session)))
            await _add_transitions(connection, session, stored=0)
            await _claim_time(connection, session)

    async def get(self, session_id: UUID) -> TherapySession:
        """Returns a session with its history; raises `SessionNotFound`."""
        return await self._find(_WITH_HISTORY.where(therapy_sessions.c.session_id == session_id))

    async def get_for_update(self, session_id: UUID) -> TherapySession:
        """Returns a session and locks it; raises `SessionNotFound`."""
        query = _WITH_HISTORY.where(therapy_sessions.c.session_id == session_id)
        return await self._find(query.with_for_update(of=therapy_sessions))

    async def save(self, session: TherapySession) -> None:
        """Stores the changes made to a session since it was read for update."""
        async with self._connect() as connection:
            row = _to_row(session)
            changed = update(therapy_sessions).where(therapy_sessions.c.session_id == session.session_id)
            await connection.execute(changed.values(row))
            stored = session_transitions.c.session_id == session.session_id
            sequences = await connection.execute(select(session_transitions.c.sequence).where(stored))
            await _add_transitions(connection, session, stored=len(sequences.all()))
            if session.state is SessionState.CANCELLED:
                taken = session_participants.c.session_id == session.session_id
                await connection.execute(delete(session_participants).where(taken))

    async def _find(self, query: Select[Any]) -> TherapySession:
        async with self._connect() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            raise SessionNotFound
        return _to_session(rows)


async def _claim_time(connection: AsyncConnection, session: TherapySession) -> None:
    """Takes up the participants' time, in one statement and in the order of their ids: so two never wait crosswise."""
    period = Range(session.period.start, session.period.end)
    rows = [
        {"session_id": session.session_id, "user_id": user_id, "period": period}
        for user_id in sorted((session.therapist_id, session.patient_id))
    ]
    try:
        await connection.execute(insert(session_participants).values(rows))
    except IntegrityError as error:
        if violated_constraint(error) == NO_OVERLAP:
            raise SessionOverlaps from error
        raise


async def _add_transitions(connection: AsyncConnection, session: TherapySession, *, stored: int) -> None:
    rows = [
        {"session_id": session.session_id, "sequence": sequence, **vars(transition)}
        for sequence, transition in enumerate(session.transitions[stored:], start=stored + 1)
    ]
    await connection.execute(insert(session_transitions).values(rows))


def _to_row(session: TherapySession) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "therapist_id": session.therapist_id,
        "patient_id": session.patient_id,
        "start_time": session.period.start,
        "end_time": session.period.end,
        "time_zone": session.time_zone,
        "state": session.state,
        "actual_start_time": session.actual_start_time,
        "actual_end_time": session.actual_end_time,
        "cancelled_by": session.cancelled_by,
        "version": session.version,
        "create_time": session.create_time,
        "update_time": session.update_time,
    }


def _to_session(rows: Sequence[Any]) -> TherapySession:
    first = rows[0]
    return TherapySession(
        session_id=first.session_id,
        therapist_id=first.therapist_id,
        patient_id=first.patient_id,
        period=Period(start=first.start_time, end=first.end_time),
        time_zone=first.time_zone,
        state=SessionState(first.state),
        actual_start_time=first.actual_start_time,
        actual_end_time=first.actual_end_time,
        cancelled_by=CancellingParty(first.cancelled_by) if first.cancelled_by else None,
        version=first.version,
        create_time=first.create_time,
        update_time=first.update_time,
        transitions=[_to_transition(row) for row in rows],
    )


def _to_transition(row: Any) -> Transition:
    return Transition(
        from_state=SessionState(row.from_state) if row.from_state else None,
        to_state=SessionState(row.to_state),
        actor=row.actor,
        reason=row.reason,
        occur_time=row.occur_time,
    )
