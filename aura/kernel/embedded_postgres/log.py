import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aura.kernel.embedded_postgres.files import open_private

LARGEST_BYTES = 10 * 1024 * 1024
TAIL_BYTES = 16 * 1024


class Log:
    """The file that PostgreSQL's messages go to, with one predecessor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._start = 0

    @contextmanager
    def open(self) -> Iterator[int]:
        """Opens it for a new run of the server; sets it aside first if it has grown large."""
        with suppress(FileNotFoundError):
            if self.path.lstat().st_size > LARGEST_BYTES:
                self.path.replace(self.path.with_suffix(".log.1"))
        descriptor = open_private(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            self._start = os.fstat(descriptor).st_size
            yield descriptor
        finally:
            os.close(descriptor)

    def last_message(self) -> str:
        """What the current run said last, without the time and pid that stand before it."""
        lines = [line for line in self._tail().splitlines() if line.strip()]
        failures = [line for line in lines if "FATAL:" in line or "PANIC:" in line]
        last = (failures or lines or ["it said nothing"])[-1]
        return last.partition("] ")[2] or last

    def _tail(self) -> str:
        with self.path.open("rb") as file:
            file.seek(max(self._start, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
