"""Measures what one client notices of another that abuses the server.

    python -m benchmarks.abuse [--seconds 10] [--only "slow readers"]

A client makes a cheap call again and again, alone, and then beside an abuse, which comes from a process and a network
address of its own; for each kind of abuse, a server is started anew. All its limits are at their defaults. Load has one
core, which the client and the abuse share; the abuse has to wait for the client (nice 19), and the server has the other
core to itself.

Prints a table in Markdown, and as its last line one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil

from benchmarks.abuses import ABUSES
from benchmarks.database import running_database
from benchmarks.run import print_table, say
from benchmarks.servers import MEGABYTE, Server, leave_core_to_servers, running
from benchmarks.subjects import RATE_LIMITS_OFF, aura_environment
from generated.aura.users.v1.authentication_service_pb2 import GetJwksRequest
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub

PAUSE_SECONDS = 0.005
SAMPLE_SECONDS = 0.02
WARM_UP_SECONDS = 3.0
BEGIN_SECONDS = 2.0
"""How long an abuse goes on before the client is measured."""

RELEASE_SECONDS = 30.0
FILES_LEFT, MEMORY_LEFT = 5, 1.25
"""How much more than before a server may have at last, for that to count as released."""

SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, kw_only=True)
class Noticed:
    """What a client noticed: a time in milliseconds, and how many of its calls failed."""

    p99: float
    calls: int
    failures: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an abuse."""

    alone: Noticed
    noticed: Noticed
    megabytes_before: float
    most_megabytes: float
    most_files: int
    crashed: bool
    released: bool

    @property
    def p99_ratio(self) -> float:
        """How much slower the client's slow calls were than without it."""
        return self.noticed.p99 / self.alone.p99

    @property
    def memory_ratio(self) -> float:
        """How much more memory the server had at most than before."""
        return self.most_megabytes / self.megabytes_before


def main(*, seconds: float, only: list[str] | None) -> None:
    """Measure and print."""
    leave_core_to_servers()
    with tempfile.TemporaryDirectory(prefix="aura-bench-") as folder:
        outcomes = asyncio.run(measure(Path(folder), seconds, only or list(ABUSES)))
    print_table(
        ("abuse", "p99 alone, ms", "p99, ms", "ratio", "calls", "failed", "memory, MB", "at most", "ratio", "released"),
        [_row(name, outcome) for name, outcome in outcomes.items()],
    )
    figures = {
        "p99_ratio": round(max(outcome.p99_ratio for outcome in outcomes.values()), 2),
        "rss_ratio": round(max(outcome.memory_ratio for outcome in outcomes.values()), 2),
        "crashed": any(outcome.crashed for outcome in outcomes.values()),
        "released": all(outcome.released for outcome in outcomes.values()),
        "failures": sum(outcome.noticed.failures for outcome in outcomes.values()),
        "abuses": {name: _figures(outcome) for name, outcome in outcomes.items()},
    }
    print(json.dumps(figures))


def _row(name: str, outcome: Outcome) -> tuple[str, ...]:
    return (
        name,
        f"{outcome.alone.p99:.2f}",
        f"{outcome.noticed.p99:.2f}",
        f"{outcome.p99_ratio:.2f}",
        str(outcome.noticed.calls),
        str(outcome.noticed.failures),
        f"{outcome.megabytes_before:.0f}",
        f"{outcome.most_megabytes:.0f}",
        f"{outcome.memory_ratio:.2f}",
        "crashed" if outcome.crashed else "yes" if outcome.released else "no",
    )


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "p99_alone_ms": round(outcome.alone.p99, 3),
        "p99_ms": round(outcome.noticed.p99, 3),
        "p99_ratio": round(outcome.p99_ratio, 2),
        "calls": outcome.noticed.calls,
        "failures": outcome.noticed.failures,
        "rss_before_mb": round(outcome.megabytes_before, 1),
        "rss_ratio": round(outcome.memory_ratio, 2),
        "files": outcome.most_files,
        "crashed": outcome.crashed,
        "released": outcome.released,
    }


async def measure(folder: Path, seconds: float, abuses: Sequence[str]) -> dict[str, Outcome]:
    """Return what comes of each abuse, each of a server that has just been started."""
    async with running_database(folder) as database:
        limited = {name: value for name, value in aura_environment(database).items() if name not in RATE_LIMITS_OFF}
        environment = limited | {"AURA_LOG_LEVEL": "warning"}
        outcomes = {}
        with ProcessPoolExecutor(max_workers=1, mp_context=SPAWN) as client:
            for name in abuses:
                say(name)
                with running(name, ("server.py",), folder, environment=environment) as server:
                    outcomes[name] = _suffer(server, name, client, seconds)
        return outcomes


def _suffer(server: Server, name: str, client: Executor, seconds: float) -> Outcome:
    def notice(for_seconds: float = seconds) -> Noticed:
        return client.submit(call_again_and_again, server.address, for_seconds).result()

    notice(WARM_UP_SECONDS)
    alone, before, files = notice(), server.resident_megabytes(), server.process.num_fds()
    with _watched(server) as peak, _abused(server.address, name):
        time.sleep(BEGIN_SECONDS)
        noticed = notice()
    crashed = not server.process.is_running()
    return Outcome(
        alone=alone,
        noticed=noticed,
        megabytes_before=before,
        most_megabytes=peak["memory"],
        most_files=round(peak["files"]),
        crashed=crashed,
        released=not crashed and _releases(server, files + FILES_LEFT, before * MEMORY_LEFT),
    )


@contextmanager
def _watched(server: Server) -> Iterator[dict[str, float]]:
    """Yield the most memory, in megabytes, and the most open files that a server has while inside."""
    peak, ended = {"memory": 0.0, "files": 0.0}, threading.Event()

    def watch() -> None:
        with suppress(psutil.NoSuchProcess):
            while not ended.wait(SAMPLE_SECONDS):
                peak["memory"] = max(peak["memory"], server.resident_megabytes())
                peak["files"] = max(peak["files"], server.process.num_fds())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


@contextmanager
def _abused(address: str, name: str) -> Iterator[None]:
    process = SPAWN.Process(target=abuse, args=(address, name), daemon=True)
    process.start()
    try:
        yield
        if not process.is_alive():
            raise SystemExit(f"bench: {name} ended by itself")
    finally:
        process.kill()
        process.join()


def _releases(server: Server, files: int, megabytes: float) -> bool:
    """Return whether a server is, within some time, back at no more than so many files and so much memory."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while time.monotonic() < deadline:
        if server.process.num_fds() <= files and server.resident_megabytes() <= megabytes:
            return True
        time.sleep(SAMPLE_SECONDS)
    say(f"{server.process.num_fds()} files and {server.process.memory_info().rss / MEGABYTE:.0f} MB are left")
    return False


def abuse(address: str, name: str) -> None:
    """Abuse a server until killed."""
    os.nice(19)
    asyncio.run(ABUSES[name](address))


def call_again_and_again(address: str, seconds: float) -> Noticed:
    """Make calls one after the other, with a pause between them."""
    times, failures = [], 0
    with grpc.insecure_channel(address) as channel:
        stub: Any = AuthenticationServiceStub(channel)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.perf_counter()
            try:
                stub.GetJwks(GetJwksRequest(), timeout=10)
            except grpc.RpcError as error:
                say(f"{error.code().name}: {error.details()}")
                failures += 1
            times.append((time.perf_counter() - begin) * 1000)
            time.sleep(PAUSE_SECONDS)
    times.sort()
    return Noticed(
        p99=times[math.ceil(len(times) * 0.99) - 1],
        calls=len(times),
        failures=failures,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each is measured")
    parser.add_argument("--only", action="append", choices=list(ABUSES), help="this abuse; may be repeated")
    main(**vars(parser.parse_args()))
