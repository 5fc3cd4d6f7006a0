"""What compares partitions sees a difference wherever there is one."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tests.partitions.transcript import Played, Transcript, assert_alike

PLAYED = Played(
    [{"name": "a", "code": "OK", "responses": [{"userId": "<id 1>"}], "trailing": {"x": ["'1'"]}}, {"name": "b"}],
    {"users.users": "2 rows, 00ff"},
)


def test_like_runs_are_alike():
    assert_alike(deepcopy(PLAYED), PLAYED)


@pytest.mark.parametrize(
    "change",
    [
        lambda played: played.entries[0].update(code="NOT_FOUND"),
        lambda played: played.entries[0]["responses"].append({}),
        lambda played: played.entries[0]["trailing"].clear(),
        lambda played: played.entries.reverse(),
        lambda played: played.digest.update({"users.users": "2 rows, 00fe"}),
        lambda played: played.digest.clear(),
    ],
    ids=["code", "response", "trailer", "order", "rows", "tables"],
)
def test_a_difference_is_shown(change):
    played = deepcopy(PLAYED)
    change(played)

    with pytest.raises(AssertionError, match="one process"):
        assert_alike(played, PLAYED)


def test_ids_are_told_apart_but_not_by_what_they_are():
    one, other = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"

    first, second = Transcript(), Transcript()

    assert first.normal_text(f"{one} {other} {one}") == "<id 1> <id 2> <id 1>"
    assert second.normal_text(f"{other} {one} {other}") == "<id 1> <id 2> <id 1>"
    assert second.normal_text(f"{one} {one}") == "<id 2> <id 2>"
