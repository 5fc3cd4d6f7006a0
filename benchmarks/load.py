"""Puts servers under load from other processes, and reads what those have measured."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CONCURRENCY = 16
"""Requests under way at a time, for all servers alike."""

FRAME_BYTES = 5
PACKAGES = {"h2load": "nghttp2-client", "wrk": "wrk"}
REPORT = Path(__file__).with_name("report.lua")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a load generator measured; times are in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


def require_tools() -> None:
    """End the program if a load generator is missing, and say how to get it."""
    missing = [tool for tool in PACKAGES if shutil.which(tool) is None]
    if missing:
        packages = " ".join(PACKAGES[tool] for tool in missing)
        raise SystemExit(f"bench: {' and '.join(missing)} not found; get it with: sudo apt-get install {packages}")


def h2load(
    address: str, path: str, message: bytes, *, requests: int, response_bytes: int, access_token: str = ""
) -> Measured:
    """Make unary gRPC calls, all with one message.

    h2load takes any answer with HTTP status 200 for a success, so the answers must together have as many bytes as right
    ones: an error has none.
    """
    with tempfile.TemporaryDirectory(prefix="aura-") as folder:
        body, log = Path(folder) / "body.bin", Path(folder) / "log.tsv"
        body.write_bytes(framed(message))
        output = _run(
            ["h2load", f"--requests={requests}", "--clients=4", f"--max-concurrent-streams={CONCURRENCY // 4}"],
            ["--threads=1", f"--data={body}", f"--log-file={log}"],
            ["--header=content-type: application/grpc", "--header=te: trailers"],
            [f"--header=authorization: Bearer {access_token}"] if access_token else [],
            [f"http://{address}{path}"],
        )
        microseconds = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
    seconds = _seconds(_find(r"finished in (\S+),", output))
    succeeded, data = int(_find(r"(\d+) succeeded", output)), int(_find(r"\((\d+)\) data", output))
    expected = requests * (FRAME_BYTES + response_bytes)
    if succeeded != requests or data != expected:
        raise SystemExit(f"bench: {path} failed: {data} bytes of answers instead of {expected}\n{output}")
    cuts = statistics.quantiles(microseconds, n=100)
    return Measured(requests=requests, seconds=seconds, p50_ms=cuts[49] / 1000, p99_ms=cuts[98] / 1000)


def wrk(address: str, path: str, *, seconds: float, access_token: str = "") -> Measured:
    """Make HTTP requests, all of one path."""
    output = _run(
        ["wrk", "--threads=1", f"--connections={CONCURRENCY}", f"--duration={round(seconds)}s"],
        ["--timeout=30s"],  # a request that waits long is slow, not failed
        [f"--header=Authorization: Bearer {access_token}"] if access_token else [],
        [f"--script={REPORT}", f"http://{address}{path}"],
    )
    report = json.loads(output.splitlines()[-1])
    if report["failed"]:
        raise SystemExit(f"bench: {report['failed']} requests for {path} failed\n{output}")
    return Measured(
        requests=report["requests"],
        seconds=report["duration"] / 1e6,
        p50_ms=report["p50"] / 1000,
        p99_ms=report["p99"] / 1000,
    )


def bookings(address: str, access_token: str, *, first: int, requests: int, users: int) -> Measured:
    """Book sessions with a client on grpc.aio, for each booking needs a time of its own and h2load has but one body."""
    output = _run(
        [sys.executable, "-m", "benchmarks.bookings", address, access_token, f"--first={first}"],
        [f"--requests={requests}", f"--concurrency={CONCURRENCY}", f"--users={users}"],
    )
    return Measured(**json.loads(output.splitlines()[-1]))


def framed(message: bytes) -> bytes:
    """Return a message as gRPC sends it: not compressed, and behind its length."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _run(*arguments: list[str]) -> str:
    command = [argument for part in arguments for argument in part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise SystemExit(f"bench: cannot read this, for it has no {pattern}:\n{text}")
    return found[1]


def _seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "ms": 1e-3, "us": 1e-6}[unit]
