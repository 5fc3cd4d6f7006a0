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
