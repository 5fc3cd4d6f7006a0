import fcntl
import os
import time
from pathlib import Path

from aura.kernel.embedded_postgres.errors import DataDirectoryInUse
from aura.kernel.embedded_postgres.files import open_private

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 0.5


class FileLock:
    """An advisory lock that the kernel drops when the last process that holds it has ended, whichever way it ended."""

    def __init__(self, path: Path) -> None:
        self.descriptor = open_private(path, os.O_RDWR)

    def acquire(self, *, patience_seconds: float = 0.0) -> bool:
        """Takes the lock; false if another holds it for all of the time given."""
        deadline = time.monotonic() + patience_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _try(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Lets go of the lock, except for children that inherited it: unlocking would take it from them too."""
        os.close(self.descriptor)


class OwnerLock:
    """Makes this process the one owner of a data directory, and notes its pid and its socket directory in the file."""

    def __init__(self, directory: Path) -> None:
        self._lock = FileLock(directory / "owner.lock")
        # A child that a killed owner was just starting may hold its lock for the moment until it is executed.
        if not self._lock.acquire(patience_seconds=PATIENCE_SECONDS):
            pid = self._lines()[0]
            self._lock.close()
            raise DataDirectoryInUse(directory, int(pid) if pid.isdigit() else None)
        self.previous_socket_directory = Path(self._lines()[1]) if self._lines()[1] else None

    def note(self, socket_directory: Path) -> None:
        """Writes down who owns the data directory, and what to sweep should this process be killed."""
        self._write(f"{os.getpid()}\n{socket_directory}\n")

    def _lines(self) -> list[str]:
        text = os.pread(self._lock.descriptor, 4096, 0).decode(errors="replace")
        return [*text.split("\n"), "", ""][:2]

    def _write(self, text: str) -> None:
        os.pwrite(self._lock.descriptor, text.encode(), 0)
        os.ftruncate(self._lock.descriptor, len(text.encode()))

    def close(self) -> None:
        """Gives up ownership."""
        self._lock.close()
