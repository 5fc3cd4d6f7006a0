"""Counts sessions in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Date, DateTime, Float, cast, extract, func, select

from aura.kernel.database import Execute
from aura.mentalhealth.application.interfaces.session_statistics import SessionCounts, StatisticsQuery, StatisticsRow
from aura.mentalhealth.domain.entities.therapy_session import SessionState
from aura.mentalhealth.infrastructure.tables import therapy_sessions

SECONDS_PER_MINUTE = 60


class PostgresSessionStatistics:
    """Counts by period and therapist in one statement."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def count(self, query: StatisticsQuery) -> Sequence[StatisticsRow]:
        """Returns the counts by period and therapist, in that order."""
        session = therapy_sessions.c
        local_start = func.timezone(query.time_zone, session.start_time)
        period_start = cast(func.date_trunc(query.period.lower(), local_start), Date).label("period_start")
        statement = (
            select(
                period_start,
                session.therapist_id,
                *(func.count().filter(session.state == state).label(state) for state in SessionState),
                _minutes(session.end_time - session.start_time)
                .filter(session.state != SessionState.CANCELLED)
                .label("booked_minutes"),
                _minutes(session.actual_end_time - session.actual_start_time).label("held_minutes"),
            )
            .where(session.start_time >= func.timezone(query.time_zone, _midnight(query.start_date)))
            .where(session.start_time < func.timezone(query.time_zone, _midnight(query.end_date)))
            .group_by(period_start, session.therapist_id)
            .order_by(period_start, session.therapist_id)
        )
        if query.therapist_id is not None:
            statement = statement.where(session.therapist_id == query.therapist_id)
        return [_to_row(row) for row in await self._execute(statement)]


def _midnight(day: Any) -> Any:
    return cast(day, DateTime)


def _minutes(length: Any) -> Any:
    return func.sum(cast(extract("epoch", length), Float) / SECONDS_PER_MINUTE)


def _to_row(row: Any) -> StatisticsRow:
    return StatisticsRow(
        period_start=row.period_start,
        therapist_id=row.therapist_id,
        counts=SessionCounts(
            by_state={state: getattr(row, state) for state in SessionState},
            booked_minutes=row.booked_minutes or 0.0,
            held_minutes=row.held_minutes or 0.0,
        ),
    )
