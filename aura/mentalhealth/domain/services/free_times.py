"""When people are free."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from aura.mentalhealth.domain.entities.period import Period


def next_free_times(wanted: Period, busy: Iterable[Period], *, count: int) -> list[datetime]:
    """Returns the next `count` starts from the wanted one on at which as long a session overlaps nothing busy.

    Each begins when the one before it would end, or as soon after that as everybody is free.
    """
    length = wanted.end - wanted.start
    free: list[datetime] = []
    start = wanted.start
    for taken in sorted(busy, key=lambda period: period.start):
        while len(free) < count and start + length <= taken.start:
            free.append(start)
            start += length
        start = max(start, taken.end)
    while len(free) < count:
        free.append(start)
        start += length
    return free
