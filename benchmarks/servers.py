"""Starts servers as processes of their own, and measures what they use.

Each server runs on one core, which nothing else of a run uses; load generators and PostgreSQL share the others. So a
figure is what one worker makes of one core, and does not depend on who else happens to run beside it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 60.0
POLL_SECONDS = 0.005
MEGABYTE = 1024 * 1024


def leave_core_to_servers() -> None:
    """Keep this process, and those that it starts from now on, off the servers' core, if there is more than one."""
    psutil.Process().cpu_affinity(_cores()[1:] or _cores())


def use_all_cores() -> None:
    """Let this process, and those that it starts from now on, run anywhere."""
    psutil.Process().cpu_affinity(_cores())


def _cores() -> list[int]:
    return list(range(psutil.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that runs."""

    name: str
    port: int
    process: psutil.Process

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """The processor time that it has used, its workers included."""
        return sum(times.user + times.system for times in map(psutil.Process.cpu_times, self._processes()))

    def resident_megabytes(self) -> float:
        """The memory it has resident, its workers included."""
        return sum(process.memory_info().rss for process in self._processes()) / MEGABYTE

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str],
    on_one_core: bool = True,
    port: int | None = None,
) -> Iterator[Server]:
    """Lend a server started as `python ARGUMENTS`; its output goes to a file. `{port}` stands for its port.

    It counts as ready once its port takes connections.
    """
    port = port or free_port()
    log = folder / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        process = psutil.Popen(
            [sys.executable, *(argument.format(port=port) for argument in arguments)],
            cwd=ROOT,
            env={name: value.replace("{port}", str(port)) for name, value in environment.items()}
            | {"PATH": os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    if on_one_core:
        process.cpu_affinity(_cores()[:1])
    try:
        deadline = time.monotonic() + START_SECONDS
        while not takes_connections(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} did not start:\n{log.read_text()}")
            time.sleep(POLL_SECONDS)
        yield Server(name=name, port=port, process=process)
    finally:
        with suppress(psutil.NoSuchProcess):  # it ended by itself
            process.terminate()
        process.wait(START_SECONDS)


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def takes_connections(port: int) -> bool:
    """Return whether something listens at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
