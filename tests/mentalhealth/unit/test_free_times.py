from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.services.free_times import next_free_times

TEN = datetime(2030, 3, 1, 10, tzinfo=UTC)


def at(start: int, end: int) -> Period:
    return Period(start=TEN + timedelta(minutes=start), end=TEN + timedelta(minutes=end))


def minutes(times: list[datetime]) -> list[int]:
    return [int((time - TEN).total_seconds() // 60) for time in times]


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([], [0, 50, 100]),
        ([(0, 50)], [50, 100, 150]),
        ([(-10, 5)], [5, 55, 105]),
        ([(30, 60)], [60, 110, 160]),
        ([(50, 60)], [0, 60, 110]),
        ([(0, 30), (40, 80)], [80, 130, 180]),
        ([(0, 30), (80, 90)], [30, 90, 140]),
        ([(40, 80), (0, 200), (10, 20)], [200, 250, 300]),
    ],
)
def test_finds_the_next_free_times(busy: list[tuple[int, int]], expected: list[int]):
    free = next_free_times(at(0, 50), [at(*period) for period in busy], count=3)

    assert minutes(free) == expected


@given(st.lists(st.tuples(st.integers(-100, 500), st.integers(1, 100)), max_size=12), st.integers(5, 120))
def test_agrees_with_trying_every_minute(busy: list[tuple[int, int]], length: int):
    taken = [at(start, start + duration) for start, duration in busy]

    free = minutes(next_free_times(at(0, length), taken, count=3))

    expected, start = [], 0
    while len(expected) < 3:
        if any(at(start, start + length).overlaps(period) for period in taken):
            start += 1
        else:
            expected.append(start)
            start += length
    assert free == expected
