"""When people are free."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

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


def free_periods(during: Period, busy: Iterable[Period], *, minimum: timedelta = timedelta(0)) -> list[Period]:
    """Returns the parts of a period that overlap nothing busy, in order, each as long as it can be.

    Parts shorter than `minimum` are left out.
    """
    free: list[Period] = []
    start = during.start
    for taken in sorted(filter(during.overlaps, busy), key=lambda period: period.start):
        if start < taken.start:
            free.append(Period(start=start, end=taken.start))
        start = max(start, taken.end)
    if start < during.end:
        free.append(Period(start=start, end=during.end))
    return [period for period in free if period.end - period.start >= minimum]
