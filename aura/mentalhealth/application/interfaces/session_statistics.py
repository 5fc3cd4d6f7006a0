"""Counts of sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from aura.mentalhealth.domain.entities.therapy_session import SessionState


class StatisticsPeriod(StrEnum):
    """By which length of time sessions are counted."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


@dataclass(frozen=True, kw_only=True)
class StatisticsQuery:
    """Which sessions to count: those that begin from `start_date` on and before `end_date`, in a time zone."""

    start_date: date
    end_date: date
    time_zone: str
    period: StatisticsPeriod
    therapist_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class SessionCounts:
    """How many sessions are in which state, and their minutes."""

    by_state: Mapping[SessionState, int]
    booked_minutes: float
    held_minutes: float

    @property
    def no_show_rate(self) -> float:
        """The share of sessions to which the patient did not come, of all whose time has come."""
        missed = self.by_state.get(SessionState.NO_SHOW, 0)
        due = missed + self.by_state.get(SessionState.COMPLETED, 0)
        return missed / due if due else 0.0

    @classmethod
    def total(cls, parts: Sequence[SessionCounts]) -> SessionCounts:
        """Returns the sum of counts."""
        return cls(
            by_state={state: sum(part.by_state.get(state, 0) for part in parts) for state in SessionState},
            booked_minutes=sum(part.booked_minutes for part in parts),
            held_minutes=sum(part.held_minutes for part in parts),
        )


@dataclass(frozen=True, kw_only=True)
class StatisticsRow:
    """The counts of one therapist in one period."""

    period_start: date
    therapist_id: UUID
    counts: SessionCounts


class SessionStatistics(Protocol):
    """Counts sessions."""

    async def count(self, query: StatisticsQuery) -> Sequence[StatisticsRow]:
        """Returns the counts by period and therapist, in that order."""
        ...
