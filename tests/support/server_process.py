"""The server as an operator runs it: a process of its own, of which nothing is left when a test ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from aura.kernel.security.keys import KeyRing, read_secret_key
from tests.support.cluster import KEYS

ROOT = Path(__file__).resolve().parents[2]
SERVES = re.compile(r"Aura serves gRPC at (\S+)\n")
SERVES_HTTP = re.compile(r"REST +(\S+)/docs ")
START_SECONDS = 40.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.02


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a process ended, and all it said."""

    code: int
    output: str
    seconds: float

    @property
    def complaints(self) -> list[str]:
        return [line.removeprefix("aura: ") for line in self.output.splitlines() if line.startswith("aura: ")]


class ServerProcess:
    """`server.py` (or other arguments for Python) with an environment of nothing but PATH and `AURA_` variables.

    `settings` are the variables without their prefix, in any case. Leaving the context kills whatever still runs.
    """

    def __init__(
        self, folder: Path, *, arguments: tuple[str, ...] = ("server.py",), user: str | None = None, **settings: object
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.data_dir = folder / "data"
        self._arguments = arguments
        self._user = user
        self._log = folder / "server.log"
        self._settings = {"PORT": 0, "DATA_DIR": self.data_dir, "ENVIRONMENT": "development"}
        self._settings |= {name.upper(): value for name, value in settings.items()}
        if self._settings["PORT"] is not None:  # where a topology says them, both are left out
            self._settings.setdefault("HTTP_PORT", 0)
        self._process: subprocess.Popen[bytes] | None = None
        self._launched = 0.0
        self._log_start = 0

    # ---- start

    def launch(self) -> Self:
        """Starts it and returns at once."""
        assert self._process is None or self._process.poll() is not None, "it runs"
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                extra_groups=[] if self._user else None,
                start_new_session=True,  # a process group of its own, for Ctrl-C
            )
        self._launched = time.monotonic()
        return self

    def start(self) -> Self:
        """Starts it and waits until it serves."""
        self.launch()
        return self.wait_until_serving()

    def wait_until_serving(self) -> Self:
        deadline = time.monotonic() + START_SECONDS
        while not SERVES.search(self.logs()):
            assert self.is_running(), f"the server ended with {self._popen.returncode}:\n{self.logs()}"
            assert time.monotonic() < deadline, f"the server does not serve:\n{self.logs()}"
            time.sleep(POLL_SECONDS)
        return self

    # ---- watch

    @property
    def address(self) -> str:
        """The address that the start report shows."""
        found = SERVES.search(self.logs())
        assert found, f"no start report:\n{self.logs()}"
        return found[1]

    @property
    def http_address(self) -> str:
        """The URL of what it serves over HTTP, as the start report shows it."""
        found = SERVES_HTTP.search(self.logs())
        assert found, f"no HTTP in the start report:\n{self.logs()}"
        return found[1]

    @property
    def keys(self) -> KeyRing:
        """The keys that it works with."""
        return read_secret_key(
            Path(self._settings.get("SECRET_KEY_FILE") or self.data_dir / "secret.key"), create=False
        )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def logs(self) -> str:
        """All that it has said since it was last started."""
        if not self._log.exists():
            return ""
        return self._log.read_bytes()[self._log_start :].decode(errors="replace")

    def postgres(self) -> list[psutil.Process]:
        """The processes that work inside its data directory: its own PostgreSQL, and what makes one."""
        return [process for process in psutil.process_iter() if _works_in(self.data_dir, process)]

    def socket_directory(self) -> Path | None:
        """Where its PostgreSQL listens, or last did."""
        with suppress(FileNotFoundError):
            lines = (self.data_dir / "postgres" / "owner.lock").read_text().splitlines()
            return Path(lines[1]) if len(lines) > 1 else None
        return None

    # ---- end

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def press_ctrl_c(self) -> None:
        """Interrupts the whole process group, as a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Waits for its end; returns its exit code."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it still runs after {seconds} s:\n{self.logs()}") from None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and waits; returns the exit code."""
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """Ends it as a power failure would: at once."""
        if self.is_running():
            self._popen.kill()
            self._popen.wait()

    def finish(self, seconds: float = STOP_SECONDS) -> Finished:
        """Waits for the end of a process that is to end by itself."""
        code = self.wait(seconds)
        return Finished(code=code, output=self.logs(), seconds=time.monotonic() - self._launched)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            sys.stderr.write(f"---- log of {' '.join(self._arguments)}\n{self.logs()}\n")
        self.kill()
        self._sweep()

    def _sweep(self) -> None:
        """Ends what a killed server left; its PostgreSQL needs a moment to follow it."""
        psutil.wait_procs(self.postgres(), timeout=5)
        for left in self.postgres():
            with suppress(psutil.NoSuchProcess):
                left.kill()
        psutil.wait_procs(self.postgres(), timeout=5)
        directory = self.socket_directory()
        if directory and directory.name.startswith("aura-pg-") and directory.is_dir():
            for path in directory.iterdir():
                path.unlink()
            directory.rmdir()

    @property
    def _popen(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "launch it first"
        return self._process

    def _environment(self) -> dict[str, str]:
        variables = {f"AURA_{name}": str(value) for name, value in self._settings.items() if value is not None}
        return {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"} | variables


def write_secret_key(path: Path, secret: bytes = KEYS._secret) -> Path:
    """Writes a secret key file as the server wants it; by default the one that the test cluster's roles know."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(secret)
    path.chmod(0o600)
    return path


def _works_in(folder: Path, process: psutil.Process) -> bool:
    with suppress(psutil.Error, OSError):
        return Path(process.cwd()).is_relative_to(folder)
    return False
