"""The time, as something that is handed in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Returns the present time, aware, in UTC."""
        ...


class SystemClock:
    """Tells the machine's time."""

    def now(self) -> datetime:
        """Returns the present time, aware, in UTC."""
        return datetime.now(UTC)
