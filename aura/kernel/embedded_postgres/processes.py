import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aura.kernel.embedded_postgres.accounts import Account

LAUNCHER = Path(__file__).with_name("launcher.py")
# PG* would redirect PostgreSQL, and the server's own secrets are none of its business.
INHERITED_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
FAST_STOP = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))
IMMEDIATE_STOP = ((signal.SIGQUIT, 10.0),)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A PostgreSQL program to run inside a directory, which it names `working_directory_name()`."""

    arguments: Sequence[str]
    directory: Path
    account: Account
    output: int
    inherited: Sequence[int] = ()
    ends_with_parent: bool = True

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts it in a session of its own, so that Ctrl-C in the terminal reaches only the server."""
        parent = os.getpid() if self.ends_with_parent else 0
        identity = [str(parent), str(self.account.uid), str(self.account.gid)]
        return subprocess.Popen(  # noqa: S603 -- no shell, and the arguments are ours
            [sys.executable, "-I", "-S", str(LAUNCHER), *identity, *self.arguments],
            cwd=self.directory,
            env={"LC_ALL": "C", "TZ": "UTC"} | {k: os.environ[k] for k in INHERITED_ENVIRONMENT if k in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.output,
            pass_fds=self.inherited,
            start_new_session=True,
        )

    def run(self) -> int:
        """Runs it to its end and returns its exit status; takes its children along if the wait is interrupted."""
        process = self.spawn()
        try:
            return process.wait()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise


def working_directory_name(directory: Path) -> str:
    """Names the directory that a command runs in, on Linux in a way that needs no access to what is above it.

    `nobody` cannot reach a project below /root, but the kernel resolves this name without walking there.
    """
    name = "/proc/self/cwd"
    return name if os.path.exists(name) else str(directory)  # noqa: PTH110 -- resolves the link as the program will


class Postmaster:
    """PostgreSQL's main process, started by a thread that lives as long as it is wanted.

    The kernel's parent-death signal means the parent *thread*, and the caller may be a short-lived worker's.
    """

    def __init__(self, command: Command) -> None:
        self._stopped = threading.Event()
        spawned: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(target=self._keep, args=(command, spawned), name="embedded-postgres", daemon=True).start()
        self._process = spawned.result()
        self.pid = self._process.pid

    def _keep(self, command: Command, spawned: Future[subprocess.Popen[bytes]]) -> None:
        try:
            spawned.set_result(command.spawn())
        except BaseException as error:  # noqa: BLE001 -- raised in the thread that waits for it
            spawned.set_exception(error)
        else:
            self._stopped.wait()

    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def stop(self, *, immediate: bool) -> None:
        """Ends the process, less and less politely, and waits for it."""
        for number, patience_seconds in IMMEDIATE_STOP if immediate else FAST_STOP:
            self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience_seconds)
                break
        else:
            self._process.kill()
            self._process.wait()
        self._stopped.set()
