"""Measures whether the time that a refused login takes tells a stranger something about the account.

    python -m benchmarks.logins [--samples 400] [--accounts 60]

Logins with a wrong password for accounts that exist, that do not, that were asked for but not verified, and that are
locked, and logins with the right password for locked ones, take turns in random order. The kinds are told apart by
their mean times, if at all; how far those may be apart by chance follows from how much the times of one kind vary. So
that it is known what the test can see, it also says how large a difference it would find nine times out of ten, and
has a difference planted: logins that are refused before the password is looked at.

Prints a table in Markdown, and as its last line one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import grpc

from benchmarks.callers import Admin
from benchmarks.database import running_database
from benchmarks.run import print_table, say
from benchmarks.servers import leave_core_to_servers, running
from benchmarks.subjects import aura_environment
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from generated.aura.users.v1.user_service_pb2 import CreateUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub

KNOWN, UNKNOWN, UNVERIFIED, LOCKED, LOCKED_RIGHT = "known", "unknown", "unverified", "locked", "locked, right password"
KINDS = (KNOWN, UNKNOWN, UNVERIFIED, LOCKED, LOCKED_RIGHT)
PLANTED = "refused unseen (planted)"
TRIES_BEFORE_THE_LOCK = 9
PASSWORD, WRONG = "a quiet lake in june", "a loud lake in june"
ALPHA, POWER = 0.01, 0.9
TRIMMED = 0.02
"""The slowest samples of each kind, as where the machine did something else, are left out of all kinds alike."""


def main(*, samples: int, accounts: int) -> None:
    """Measure and print."""
    leave_core_to_servers()
    with tempfile.TemporaryDirectory(prefix="aura-bench-") as folder:
        times = asyncio.run(measure(Path(folder), samples, accounts))
    means, noise, detectable = compare(times)
    print_table(
        ("login", "samples", "mean, ms", "standard deviation, ms"),
        [
            (kind, str(len(times[kind])), f"{means[kind]:.2f}", f"{statistics.stdev(times[kind]):.2f}")
            for kind in (*KINDS, PLANTED)
        ],
    )
    differences = [abs(means[one] - means[other]) for one, other in itertools.combinations(KINDS, 2)]
    figures = {
        "largest_difference_ms": round(max(differences), 3),
        "noise_ms": round(noise, 3),
        "detectable_difference_ms": round(detectable, 3),
        "alpha": ALPHA,
        "power": POWER,
        "samples_of_each": len(times[KNOWN]),
        "planted_difference_found": abs(means[PLANTED] - means[KNOWN]) > detectable,
        "told_apart": max(differences) > detectable,
    }
    print(json.dumps(figures))


def compare(times: dict[str, list[float]]) -> tuple[dict[str, float], float, float]:
    """Return the means, the standard deviation within a kind, and the difference that would be found.

    That is of a two-sided z test of two means, at a level that is divided among all pairs (Bonferroni).
    """
    pairs = math.comb(len(KINDS), 2)
    noise = math.sqrt(statistics.fmean(statistics.variance(times[kind]) for kind in KINDS))
    normal = statistics.NormalDist()
    quantiles = normal.inv_cdf(1 - ALPHA / pairs / 2) + normal.inv_cdf(POWER)
    detectable = quantiles * noise * math.sqrt(2 / len(times[KNOWN]))
    return {kind: statistics.fmean(each) for kind, each in times.items()}, noise, detectable


async def measure(folder: Path, samples: int, people: int) -> dict[str, list[float]]:
    """Return the times of each kind, in milliseconds."""
    async with running_database(folder) as database:
        environment = aura_environment(database)
        with running("aura", ("server.py",), folder, environment=environment) as server:
            admin = Admin(server, environment)
            connection = await asyncpg.connect(database.url)
            async with grpc.aio.insecure_channel(server.address) as channel:
                accounts: Any = AuthenticationServiceStub(channel)
                known, locked = await _people(accounts, UserServiceStub(channel), admin, connection, people)
                say(f"{samples} logins of each of {len(KINDS)} kinds")
                times = await _take(accounts, connection, samples, _addresses(known, locked))
            await connection.close()
    return {kind: sorted(each)[: round(len(each) * (1 - TRIMMED))] for kind, each in times.items()}


async def _people(accounts: Any, users: Any, admin: Admin, connection: Any, count: int) -> tuple[list[str], list[str]]:
    """Make so many accounts with a password, some of them locked, and some that are not verified."""
    for number in range(count):
        request = pb.RegisterRequest(email=_unverified(number), password=PASSWORD, display_name="X")
        await accounts.Register(request)
        await connection.execute("DELETE FROM users.throttles")
    password_hash = await connection.fetchval("SELECT password_hash FROM users.registrations LIMIT 1")
    emails = [f"person{number}@example.com" for number in range(2 * count)]
    for email in emails:
        request = CreateUserRequest(user={"email": email, "display_name": "X", "roles": [1]})
        user = await users.CreateUser(request, metadata=admin.metadata)
        await connection.execute(
            "INSERT INTO users.credentials VALUES ($1, $2, now(), NULL, false, 0)", user.user_id, password_hash
        )
    known, locked = emails[:count], emails[count:]
    for email in locked[:10]:
        for _ in range(TRIES_BEFORE_THE_LOCK + 3):
            await _login(accounts, email, WRONG)
        await _forget_source(connection)
    return known, locked[:10]


def _addresses(known: list[str], locked: list[str]) -> dict[str, Iterator[tuple[str, str]]]:
    """Return, for each kind, whom to log in as, and with which password."""
    return {
        KNOWN: ((email, WRONG) for email in itertools.cycle(known)),
        UNKNOWN: ((f"nobody{number % len(known)}@example.com", WRONG) for number in itertools.count()),
        UNVERIFIED: ((_unverified(number % len(known)), PASSWORD) for number in itertools.count()),
        LOCKED: ((email, WRONG) for email in itertools.cycle(locked)),
        LOCKED_RIGHT: ((email, PASSWORD) for email in itertools.cycle(locked)),
        PLANTED: ((email, "") for email in itertools.cycle(known)),
    }


async def _take(
    accounts: Any, connection: Any, samples: int, addresses: dict[str, Iterator[tuple[str, str]]]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = defaultdict(list)
    locks = await connection.fetch("SELECT * FROM users.throttles")
    for number in range(samples):
        if number % TRIES_BEFORE_THE_LOCK == 0:
            await _restore(connection, locks)
        kinds = list(addresses)
        random.shuffle(kinds)
        for kind in kinds:
            email, password = next(addresses[kind])
            begin = time.perf_counter()
            await _login(accounts, email, password)
            times[kind].append((time.perf_counter() - begin) * 1000)
        await _forget_source(connection)
    return times


async def _login(accounts: Any, email: str, password: str) -> None:
    with suppress(grpc.aio.AioRpcError):
        await accounts.Login(pb.LoginRequest(email=email, password=password))
        raise SystemExit(f"bench: {email} could log in")


async def _forget_source(connection: Any) -> None:
    """Let this machine go on: all logins come from it."""
    await connection.execute("DELETE FROM users.throttles WHERE key LIKE 'source/%'")


async def _restore(connection: Any, locks: list[Any]) -> None:
    """Let those be locked who were at the beginning, and nobody else."""
    await connection.execute("DELETE FROM users.throttles WHERE key <> ALL($1)", [row["key"] for row in locks])


def _unverified(number: int) -> str:
    return f"unverified{number}@example.com"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=400, help="logins of each kind")
    parser.add_argument("--accounts", type=int, default=60, help="accounts of each kind")
    main(**vars(parser.parse_args()))
