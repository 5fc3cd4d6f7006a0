from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura.mentalhealth.domain.entities.period import Period
from aura.mentalhealth.domain.services.free_times import free_periods, next_free_times

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


@pytest.mark.parametrize(
    ("busy", "expected"),
    [
        ([], [(0, 100)]),
        ([(20, 40)], [(0, 20), (40, 100)]),
        ([(0, 40)], [(40, 100)]),
        ([(40, 100)], [(0, 40)]),
        ([(0, 100)], []),
        ([(-50, 150)], []),
        ([(-20, 0), (100, 120)], [(0, 100)]),
        ([(-20, 10), (90, 120)], [(10, 90)]),
        ([(20, 40), (40, 60)], [(0, 20), (60, 100)]),
        ([(50, 60), (20, 70), (30, 40)], [(0, 20), (70, 100)]),
    ],
)
def test_finds_what_is_free_between_what_is_busy(busy: list[tuple[int, int]], expected: list[tuple[int, int]]):
    free = free_periods(at(0, 100), [at(*period) for period in busy])

    assert free == [at(*period) for period in expected]


@pytest.mark.parametrize(
    ("minimum", "expected"), [(19, [(0, 20), (40, 100)]), (20, [(0, 20), (40, 100)]), (21, [(40, 100)]), (61, [])]
)
def test_leaves_out_what_is_too_short(minimum: int, expected: list[tuple[int, int]]):
    free = free_periods(at(0, 100), [at(20, 40)], minimum=timedelta(minutes=minimum))

    assert free == [at(*period) for period in expected]


BUSY = st.lists(st.tuples(st.integers(-100, 300), st.integers(1, 100)), max_size=12)


@given(BUSY)
def test_free_and_busy_together_are_the_whole_and_share_nothing(busy: list[tuple[int, int]]):
    during, taken = at(0, 200), [at(start, start + length) for start, length in busy]

    free = free_periods(during, taken)

    assert not any(one.overlaps(other) for one in free for other in taken)
    for minute in range(200):
        now = at(minute, minute + 1)
        assert sum(period.overlaps(now) for period in (*free, *taken)) >= 1
    assert all(during.start <= period.start < period.end <= during.end for period in free)


@given(BUSY)
def test_free_periods_are_in_order_and_never_touch(busy: list[tuple[int, int]]):
    free = free_periods(at(0, 200), [at(start, start + length) for start, length in busy])

    assert all(one.end < other.start for one, other in itertools.pairwise(free))


@given(BUSY, st.integers(0, 120))
def test_a_minimum_only_leaves_out(busy: list[tuple[int, int]], minutes: int):
    taken, minimum = [at(start, start + length) for start, length in busy], timedelta(minutes=minutes)

    free = free_periods(at(0, 200), taken, minimum=minimum)

    assert free == [period for period in free_periods(at(0, 200), taken) if period.end - period.start >= minimum]


@pytest.mark.parametrize(("minute", "left"), [(-10, (0, 50)), (0, (0, 50)), (20, (20, 50)), (50, None), (60, None)])
def test_what_is_past_is_cut_off_a_period(minute: int, left: tuple[int, int] | None):
    assert at(0, 50).after(TEN + timedelta(minutes=minute)) == (at(*left) if left else None)
