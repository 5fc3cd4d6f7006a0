"""Runs server.py, and notes every two milliseconds of processor time what it is doing.

    python -m benchmarks.sampled_server FILE

Begins at SIGUSR1. When the server stops, FILE gets the stacks as JSON: each with its frames, outermost first, and the
seconds of processor time that the main thread spent there. Time in C counts for the Python code that called it.
"""

import atexit
import json
import runpy
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_SECONDS = 0.002
ROOT = Path(__file__).resolve().parents[1]


class Sampler:
    """Takes the main thread's stack at each signal, and weighs it by that thread's own time since the last one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds: Counter[tuple[str, ...]] = Counter()
        self._last = 0.0

    def install(self) -> None:
        """Get ready to begin."""
        signal.signal(signal.SIGUSR1, self._begin)
        signal.signal(signal.SIGPROF, self._sample)
        signal.siginterrupt(signal.SIGPROF, False)  # noqa: FBT003 takes no keyword
        atexit.register(self._finish)

    def _begin(self, _: int, __: FrameType | None) -> None:
        self._last = time.thread_time()
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        now = time.thread_time()
        stack = []
        while frame is not None:
            stack.append(f"{frame.f_code.co_filename}:{frame.f_code.co_qualname}")
            frame = frame.f_back
        self._seconds[tuple(reversed(stack))] += now - self._last
        self._last = now

    def _finish(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._file.write_text(json.dumps(list(self._seconds.items())))


if __name__ == "__main__":
    Sampler(Path(sys.argv[1])).install()
    sys.argv = ["server.py"]
    runpy.run_path(str(ROOT / "server.py"), run_name="__main__")
