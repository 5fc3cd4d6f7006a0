"""Turns that the workers of a run take: most tests run beside any other, those that measure time run alone."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOM = Path(__file__)
DOOR = Path(__file__).with_name("__init__.py")


@contextmanager
def turn(*, alone: bool) -> Iterator[None]:
    """Waits until nobody is inside who is alone, or, for one who will be, until nobody is inside.

    Who waits stands in the door, so that those who come later wait too.
    """
    with ROOM.open() as room:
        with DOOR.open() as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
