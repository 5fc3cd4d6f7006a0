"""A stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class Period:
    """A half-open interval in UTC: the end itself is not part of it, so periods may follow one another."""

    start: datetime
    end: datetime

    def overlaps(self, other: Period) -> bool:
        """Returns whether the two share any time."""
        return self.start < other.end and other.start < self.end

    def after(self, time: datetime) -> Period | None:
        """Returns what is left of it from a time on; None if that is nothing."""
        start = max(self.start, time)
        return Period(start=start, end=self.end) if start < self.end else None
