import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from aura.kernel.embedded_postgres.cluster import Cluster
from aura.kernel.embedded_postgres.errors import EmbeddedPostgresError
from aura.kernel.embedded_postgres.locks import FileLock

GRACE_SECONDS = 1.0  # on Linux, what a killed server left behind is already ending
FAST_SECONDS = 10.0
IMMEDIATE_SECONDS = 7.0  # PostgreSQL itself kills children that have not ended after five
KILLED_SECONDS = 5.0


def stop_orphans(lock: FileLock, cluster: Cluster) -> None:
    """Takes the lock that every process of a cluster holds, ending those that a killed server left behind."""
    if lock.acquire(patience_seconds=GRACE_SECONDS):
        return
    for number, seconds in ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, IMMEDIATE_SECONDS)):
        # Only the postmaster: to its children these signals mean something else.
        postmaster = _holders(lock, cluster) & {cluster.postmaster_pid()}
        _send(number, postmaster)
        if postmaster and lock.acquire(patience_seconds=seconds):
            return
    _send(signal.SIGKILL, _holders(lock, cluster))
    if not lock.acquire(patience_seconds=KILLED_SECONDS):
        raise EmbeddedPostgresError(
            f"a PostgreSQL that an earlier server left behind still uses {cluster.path} and cannot be stopped from "
            "here; stop it, or set AURA_DATA_DIR to another directory"
        )


def _send(number: signal.Signals, pids: set[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _holders(lock: FileLock, cluster: Cluster) -> set[int]:
    """The processes that provably belong to the cluster: a pid in a file may long be somebody else's."""
    if Path("/proc/self/fd").is_dir():
        return _processes_with_open_file(lock.descriptor) - {os.getpid()}
    pid = cluster.postmaster_pid()
    return {pid} if pid and str(cluster.path) in _command_line(pid) else set()


def _processes_with_open_file(descriptor: int) -> set[int]:
    wanted = os.fstat(descriptor)
    pids = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # another user's process, or one that has just ended
            if os.path.samestat(link.stat(), wanted):
                pids.add(int(link.parts[2]))
    return pids


def _command_line(pid: int) -> str:
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603 -- constant
