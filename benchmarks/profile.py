"""Shows where Aura's processor time goes in GetUser: per part, and the functions that use most of it.

python -m benchmarks.profile [--seconds 20]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil

from benchmarks import load, population
from benchmarks.callers import Admin
from benchmarks.database import running_database
from benchmarks.run import print_table
from benchmarks.servers import ROOT, Server, leave_core_to_servers, running
from benchmarks.subjects import aura_environment, gets_user_by_grpc

TRANSPORT = "grpcio and the event loop"
PARTS = {
    "access log (structlog)": r"/structlog/|access_log\.py|aura/kernel/logging\.py|aura/kernel/redaction\.py",
    "validation (protovalidate)": r"/protovalidate/|interceptors/validation\.py",
    "container (dishka)": r"/dishka/|<get_\w+>|<get_\w+_async>|aura/kernel/container\.py",
    "asyncpg": r"/asyncpg/|_SelectorSocketTransport",
    "SQLAlchemy": r"/sqlalchemy/|/greenlet/",
    "interceptors": r"aura/kernel/(interceptors/|rpc_status\.py)",
    "kernel": r"aura/kernel/",
    "users module": r"aura/users/",
}
LOOP = ("asyncio/events.py:Handle._run", "asyncio/base_events.py:BaseEventLoop._run_once")
SHOWN = 25


async def main(seconds: float) -> None:
    """Put a server that samples itself under load, and print what it noted."""
    load.require_tools()
    leave_core_to_servers()
    with tempfile.TemporaryDirectory(prefix="aura-bench-") as folder:
        samples = Path(folder) / "samples.json"
        async with running_database(Path(folder)) as database:
            await population.fill(database.url, population.QUICK)
            with ExitStack() as stack:
                arguments = ("-m", "benchmarks.sampled_server", str(samples))
                environment = aura_environment(database)
                server = stack.enter_context(running("aura", arguments, Path(folder), environment=environment))
                microseconds = measure(server, Admin(server, environment), seconds)
        report(json.loads(samples.read_text()), microseconds)


def measure(server: Server, admin: Admin, seconds: float) -> tuple[float, float]:
    """Return the processor time of a request in microseconds: the main thread's, and that of all others."""
    get_users = gets_user_by_grpc(server, admin)
    warm = get_users(1000, 0)
    server.process.send_signal(signal.SIGUSR1)
    before = thread_seconds(server.process)
    done = get_users(round(warm.per_second * seconds), 0)
    used = [after - begin for after, begin in zip(thread_seconds(server.process), before, strict=True)]
    main_thread, others = (each / done.requests * 1e6 for each in used)
    return main_thread, others


def thread_seconds(process: psutil.Process) -> tuple[float, float]:
    """Return the processor time that the main thread has used, and that of all others."""
    used = {thread.id: thread.user_time + thread.system_time for thread in process.threads()}
    return used.pop(process.pid), sum(used.values())


def report(samples: list[tuple[list[str], float]], microseconds: tuple[float, float]) -> None:
    """Print the parts, and the functions, in microseconds per request."""
    main_thread, others = microseconds
    total = sum(seconds for _, seconds in samples)
    parts, functions = Counter(), Counter()
    for stack, seconds in samples:
        share = seconds / total * main_thread
        frames = [short(frame) for frame in within_loop(stack)]
        parts[part_of(stack)] += share
        functions[frames[0]] += share
    parts["grpcio's own threads"] = others
    everything = main_thread + others
    rows = [(part, f"{us:.0f}", f"{us / everything:.0%}") for part, us in parts.most_common()]
    print_table(("part", "µs/request", "share"), [*rows, ("together", f"{everything:.0f}", "100%")])
    print_table(
        ("function", "µs/request itself"), [(f"`{name}`", f"{us:.0f}") for name, us in functions.most_common(SHOWN)]
    )


def part_of(stack: list[str]) -> str:
    """Return the part of the innermost frame that belongs to one."""
    for frame in within_loop(stack):
        for part, pattern in PARTS.items():
            if re.search(pattern, frame):
                return part
    return TRANSPORT


def within_loop(stack: list[str]) -> Iterator[str]:
    """Yield the frames, innermost first, up to the event loop: what is above is the same for all."""
    for frame in reversed(stack):
        yield frame
        if frame.endswith(LOOP):
            return


def short(frame: str) -> str:
    """Return a frame without the folders that packages are in."""
    return re.sub(r"^.*/(site-packages|python3\.\d+)/", "", frame.removeprefix(f"{ROOT}/"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20, help="for how long to look")
    asyncio.run(main(**vars(parser.parse_args())))
