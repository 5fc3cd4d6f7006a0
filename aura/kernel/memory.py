"""How this process gives memory back to the system."""

from __future__ import annotations

import ctypes
import gc

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # mallopt(3)
LARGE_BYTES, KEPT_BYTES, ARENAS = 256 * 1024, 1024 * 1024, 2


def give_back_freed_memory() -> None:
    """Has the C library return what a large call took, once it is over; by itself, glibc keeps it for the next one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((M_MMAP_THRESHOLD, LARGE_BYTES), (M_TRIM_THRESHOLD, KEPT_BYTES), (M_ARENA_MAX, ARENAS)):
            mallopt(option, value)


def keep_what_is_there() -> None:
    """Has the garbage collector look no more at what was made until now: what a process starts with stays."""
    gc.collect()
    gc.freeze()
