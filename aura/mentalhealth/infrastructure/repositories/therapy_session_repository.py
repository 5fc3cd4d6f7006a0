"""Sessions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Uuid,
    bindparam,
    delete,
    false,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import TSTZRANGE, Range
from sqlalchemy.exc import IntegrityError

from aura.kernel.database import Execute, violated_constraint
from aura.kernel.query import Query
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.entities.therapy_session import (
    LONGEST,
    CancellingParty,
    SessionState,
    TherapySession,
    Transition,
)
from aura.mentalhealth.domain.errors import SessionNotFound, SessionOverlaps
from aura.mentalhealth.domain.repositories.therapy_session_repository import SessionFilter
from aura.mentalhealth.infrastructure.tables import session_participants, session_transitions, therapy_sessions

NO_OVERLAP = "session_participants_no_overlap"
_GET = Query(
    select(therapy_sessions, session_transitions)
    .join_from(therapy_sessions, session_transitions, therapy_sessions.c.session_id == session_transitions.c.session_id)
    .where(therapy_sessions.c.session_id == bindparam("session_id"))
    .order_by(session_transitions.c.sequence)
)
_ADD, _SAVE = insert(therapy_sessions), update(therapy_sessions)
_LOCK = (
    select(therapy_sessions.c.session_id)
    .where(therapy_sessions.c.session_id == bindparam("session_id"))
    .with_for_update()
)
_ADD_TRANSITION = insert(session_transitions)
_RELEASE_TIME = delete(session_participants).where(session_participants.c.session_id == bindparam("session_id"))
_LOCK_CALENDARS = text(
    "SELECT pg_advisory_xact_lock(hashtextextended(user_id::text, 0)) FROM unnest(:user_ids) AS user_id"
).bindparams(bindparam("user_ids", type_=ARRAY(Uuid)))
_CLAIM_TIME = text(
    "INSERT INTO mentalhealth.session_participants (session_id, user_id, period) "
    "SELECT :session_id, user_id, :period FROM unnest(:user_ids) AS user_id, "
    "LATERAL (SELECT pg_advisory_xact_lock(hashtextextended(user_id::text, 0))) AS locked"
).bindparams(
    bindparam("session_id", type_=Uuid), bindparam("user_ids", type_=ARRAY(Uuid)), bindparam("period", type_=TSTZRANGE)
)


class PostgresTherapySessionRepository:
    """Keeps sessions; the database itself sees that no two of one person overlap."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def add(self, session: TherapySession) -> None:
        """Adds a session; raises `SessionOverlaps` if one of its participants is taken."""
        await self._execute(_ADD, _to_row(session))
        await self._add_transitions(session, stored=0)
        await self._claim_time(session)

    async def get(self, session_id: UUID) -> TherapySession:
        """Returns a session with its history; raises `SessionNotFound`."""
        rows = await self._execute(_GET, {"session_id": session_id})
        if not rows:
            raise SessionNotFound
        return _to_session(rows[0], history=rows)

    async def get_for_update(self, session_id: UUID) -> TherapySession:
        """Returns a session and locks it; raises `SessionNotFound`.

        The history is read behind the lock: a join would show it as it was when the wait for the lock began.
        """
        await self._execute(_LOCK, {"session_id": session_id})
        return await self.get(session_id)

    async def save(self, session: TherapySession) -> None:
        """Stores the changes made to a session since it was read for update; raises `SessionOverlaps`."""
        await self._execute(_SAVE.where(therapy_sessions.c.session_id == session.session_id), _to_row(session))
        await self._add_transitions(session, stored=session.version - 1)
        if session.state is SessionState.CANCELLED:
            await self._release_time(session)
        elif session.transitions[-1].to_state is SessionState.SCHEDULED:
            await self._lock_calendars(session)
            await self._release_time(session)
            await self._claim_time(session)

    async def list(
        self, where: SessionFilter, *, after: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[TherapySession]:
        """Returns up to `limit` sessions without their history, by start and id, behind `after`."""
        order = (therapy_sessions.c.start_time, therapy_sessions.c.session_id)
        query = select(therapy_sessions).where(*_conditions(where)).order_by(*order).limit(limit)
        if after is not None:
            start, session_id = after
            query = query.where(tuple_(*order) > tuple_(literal(start, order[0].type), literal(session_id)))
        elif where.window_start is not None:
            # Where a page begins in the index; behind another page, that page's end says it, and both would confuse.
            query = query.where(order[0] > where.window_start - LONGEST)
        return [_to_session(row, history=()) for row in await self._execute(query)]

    async def scheduled_with(self, user_id: UUID, *, after: datetime) -> Sequence[UUID]:
        """Returns the ids of scheduled sessions that a user takes part in and that begin later, in their order."""
        session = therapy_sessions.c
        query = (
            select(session.session_id)
            .where(
                or_(session.therapist_id == user_id, session.patient_id == user_id),
                session.state == SessionState.SCHEDULED,
                session.start_time > after,
            )
            .order_by(session.start_time, session.session_id)
        )
        return [row.session_id for row in await self._execute(query)]

    async def _add_transitions(self, session: TherapySession, *, stored: int) -> None:
        for sequence, transition in enumerate(session.transitions[stored:], start=stored + 1):
            entry = {"session_id": session.session_id, "sequence": sequence, **vars(transition)}
            await self._execute(_ADD_TRANSITION, entry)

    async def _lock_calendars(self, session: TherapySession) -> None:
        """Keeps others from taking up the participants' time until the transaction ends.

        A move gives up one time and claims another: without this, two of them could each wait for what the other holds.
        """
        await self._execute(_LOCK_CALENDARS, {"user_ids": sorted(session.participant_ids)})

    async def _release_time(self, session: TherapySession) -> None:
        await self._execute(_RELEASE_TIME, {"session_id": session.session_id})

    async def _claim_time(self, session: TherapySession) -> None:
        """Takes up the participants' time, each behind the lock of their calendar and in the order of their ids."""
        claim = {
            "session_id": session.session_id,
            "user_ids": sorted(session.participant_ids),
            "period": Range(session.period.start, session.period.end),
        }
        try:
            await self._execute(_CLAIM_TIME, claim)
        except IntegrityError as error:
            if violated_constraint(error) == NO_OVERLAP:
                raise SessionOverlaps from error
            raise


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


def _to_session(row: Any, *, history: Sequence[Any]) -> TherapySession:
    return TherapySession(
        session_id=row.session_id,
        therapist_id=row.therapist_id,
        patient_id=row.patient_id,
        period=Period(start=row.start_time, end=row.end_time),
        time_zone=row.time_zone,
        state=SessionState(row.state),
        actual_start_time=row.actual_start_time,
        actual_end_time=row.actual_end_time,
        cancelled_by=CancellingParty(row.cancelled_by) if row.cancelled_by else None,
        version=row.version,
        create_time=row.create_time,
        update_time=row.update_time,
        transitions=[_to_transition(entry) for entry in history],
    )


def _conditions(where: SessionFilter) -> Iterator[ColumnElement[bool]]:
    """Yields conditions that the indexes on (person, start_time) serve."""
    session = therapy_sessions.c
    if not where.viewer.sees_all:
        columns = {Part.THERAPIST: session.therapist_id, Part.PATIENT: session.patient_id}
        yield or_(false(), *(columns[part] == where.viewer.user_id for part in sorted(where.viewer.parts)))
    if where.therapist_id is not None:
        yield session.therapist_id == where.therapist_id
    if where.patient_id is not None:
        yield session.patient_id == where.patient_id
    if where.states:
        yield session.state.in_(sorted(where.states))
    if where.window_start is not None:
        yield session.end_time > where.window_start
    if where.window_end is not None:
        yield session.start_time < where.window_end


def _to_transition(row: Any) -> Transition:
    return Transition(
        from_state=SessionState(row.from_state) if row.from_state else None,
        to_state=SessionState(row.to_state),
        actor=row.actor,
        reason=row.reason,
        occur_time=row.occur_time,
    )
