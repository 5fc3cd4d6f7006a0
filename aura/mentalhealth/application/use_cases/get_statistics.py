"""Counts sessions and their minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from aura.kernel.errors import FieldViolation, InvalidRequest
from aura.kernel.times import is_time_zone
from aura.mentalhealth.application.interfaces.session_statistics import (
    SessionStatistics,
    StatisticsQuery,
    StatisticsRow,
)
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.errors import TimeZoneUnknown

LONGEST_WINDOW = timedelta(days=366)


class GetStatistics:
    """Counts sessions by period and therapist."""

    def __init__(self, *, statistics: SessionStatistics, viewer: Viewer) -> None:
        self._statistics = statistics
        self._viewer = viewer

    async def execute(self, query: StatisticsQuery) -> Sequence[StatisticsRow]:
        """Returns the counts of what the caller may see: therapists see their own sessions.

        Raises:
            TimeZoneUnknown: There is no such zone.
            InvalidRequest: The window is empty, or longer than 366 days.
        """
        if not is_time_zone(query.time_zone):
            raise TimeZoneUnknown
        if not timedelta(0) < query.end_date - query.start_date <= LONGEST_WINDOW:
            description = "must be 1 to 366 days after start_date"
            raise InvalidRequest(FieldViolation(field="end_date", description=description))
        if not self._viewer.administers:
            if self._viewer.user_id is None or query.therapist_id not in {None, self._viewer.user_id}:
                return ()
            query = replace(query, therapist_id=self._viewer.user_id)
        return await self._statistics.count(query)
