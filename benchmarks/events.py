"""Measures what events cost, from the commit that publishes them to the commit that handles them.

    python -m benchmarks.events [--quick]

An order is a row and an event, in one transaction; whoever handles it writes a row, in a transaction of its own. Aura
does so in one process and in two, and with an outbox that holds much already; the peer is modupy's outbox. All use one
PostgreSQL, and take turns. Times are those at which PostgreSQL committed, which it keeps for each row.

Prints a table in Markdown, and as its last line one JSON object with the figures that have targets. `--quick` shows in
a minute that everything works.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import psutil

from aura.kernel.database import async_url, sync_url
from benchmarks.database import NAME, Database, running_database
from benchmarks.event_modules.code import migrations_in, use_code, write_code
from benchmarks.event_modules.specs import EVENT_MODULES, SINK, SOURCE
from benchmarks.run import print_table, say
from benchmarks.servers import ROOT, Server, free_port, running
from benchmarks.subjects import RATE_LIMITS_OFF

PUBLISHERS = 4
SUBJECTS = 500
POLL_SECONDS = 0.05
IDLE_SECONDS = 1.0
FINISHED, WAITING = "with finished rows", "with waiting rows"
ONE, TWO, PEER = "Aura, one process", "Aura, two processes", "modupy"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured: events in a round, rounds, seconds at half the load, and rows that are there already."""

    events: int
    rounds: int
    steady_seconds: float
    finished: int
    waiting: int


FULL = Size(events=4000, rounds=5, steady_seconds=20, finished=1_000_000, waiting=100_000)
QUICK = Size(events=400, rounds=1, steady_seconds=2, finished=20_000, waiting=2_000)


@dataclass(frozen=True, kw_only=True)
class Orders:
    """A stretch of orders for one publisher to place; so many per second, or as fast as it goes if 0."""

    first: int
    end: int
    step: int = PUBLISHERS
    subjects: int = SUBJECTS
    per_second: float = 0


@dataclass(frozen=True, kw_only=True)
class Round:
    """How many events were handled in what time; processor time is of the servers and of PostgreSQL, per event."""

    events: int
    seconds: float
    cpu_us: float
    latencies_ms: list[float]

    @property
    def per_second(self) -> float:
        """Events handled per second."""
        return self.events / self.seconds

    def percentile_ms(self, percent: int) -> float:
        """Return a percentile of the time from commit to commit."""
        return statistics.quantiles(self.latencies_ms, n=100)[percent - 1]


@dataclass(kw_only=True)
class Contender:
    """Somebody who publishes and handles events: how to have orders placed, and where the rows are."""

    name: str
    url: str
    orders: str
    effects: str
    place: Callable[[list[Orders]], Awaitable[None]]
    cpu_seconds: Callable[[], float]
    rounds: list[Round] = field(default_factory=list)
    steady: Round | None = None
    placed: int = 0

    async def run(self, events: int, database: Database, *, per_second: float = 0) -> Round:
        """Have so many orders placed and handled."""
        first, end = self.placed, self.placed + events
        self.placed = end
        before = self.cpu_seconds() + database.cpu_seconds()
        rate = per_second / PUBLISHERS
        await self.place([Orders(first=first + index, end=end, per_second=rate) for index in range(PUBLISHERS)])
        connection = await asyncpg.connect(sync_url(async_url(self.url)))
        try:
            count = f"SELECT count(*) FROM {self.effects} WHERE number >= $1"
            while await connection.fetchval(count, first) < events:  # noqa: ASYNC110 rows have no event
                await asyncio.sleep(POLL_SECONDS)
            cpu = self.cpu_seconds() + database.cpu_seconds() - before
            rows = await connection.fetch(
                f"SELECT extract(epoch FROM pg_xact_commit_timestamp(o.xmin))::float8 AS placed, "
                f"extract(epoch FROM pg_xact_commit_timestamp(e.xmin))::float8 AS handled "
                f"FROM {self.orders} o JOIN {self.effects} e USING (number) WHERE number >= $1",
                first,
            )
        finally:
            await connection.close()
        return Round(
            events=events,
            seconds=max(row["handled"] for row in rows) - min(row["placed"] for row in rows),
            cpu_us=cpu / events * 1e6,
            latencies_ms=[(row["handled"] - row["placed"]) * 1000 for row in rows],
        )

    def median(self, figure: Callable[[Round], float]) -> float:
        """Return the median of a figure over the rounds."""
        return statistics.median(map(figure, self.rounds))

    @property
    def per_second(self) -> float:
        """Events handled per second, at most."""
        return self.median(lambda each: each.per_second)


async def measure(folder: Path, size: Size) -> dict[str, float]:
    """Measure everything; return the figures that have targets."""
    write_code(folder)
    use_code(folder)
    async with (
        running_database(
            folder,
            specs=EVENT_MODULES,
            migrations=migrations_in(folder),
            settings={"track_commit_timestamp": "on"},
        ) as database,
        AsyncExitStack() as stack,
    ):
        for name in ("two", "finished", "waiting", "peer"):
            await _execute(database.url_of("postgres"), f"CREATE DATABASE {name} TEMPLATE {NAME}")
        await _fill_finished(database.url_of("finished"), size.finished)
        await _fill_waiting(database.url_of("waiting"), size.waiting)
        contenders = [
            await stack.enter_async_context(_aura(ONE, database, NAME, folder)),
            await stack.enter_async_context(_aura(TWO, database, "two", folder, processes=2)),
            await stack.enter_async_context(_peer(database)),
            await stack.enter_async_context(_aura(FINISHED, database, "finished", folder)),
            await stack.enter_async_context(_aura(WAITING, database, "waiting", folder)),
        ]
        by_name = {contender.name: contender for contender in contenders}
        say(f"{size.rounds} rounds of {len(contenders)}, {size.events:,} events each")
        for number in range(-1, size.rounds):  # the first is not counted
            for contender in contenders:
                done = await contender.run(size.events if number >= 0 else size.events // 4, database)
                if number >= 0:
                    contender.rounds.append(done)
                await asyncio.sleep(IDLE_SECONDS)
        for name in (ONE, TWO, PEER):
            contender = by_name[name]
            half = contender.per_second / 2
            say(f"{name}: {size.steady_seconds:g} s at {half:,.0f} events/s")
            contender.steady = await contender.run(round(half * size.steady_seconds), database, per_second=half)
        _print(contenders)
        slower = [by_name[ONE].per_second / by_name[name].per_second for name in (FINISHED, WAITING)]
        return {
            "events_per_second": by_name[ONE].per_second,
            "throughput_ratio_to_modupy": by_name[ONE].per_second / by_name[PEER].per_second,
            "throughput_ratio_to_modupy_two_processes": by_name[TWO].per_second / by_name[PEER].per_second,
            "p99_ms": max(by_name[name].steady.percentile_ms(99) for name in (ONE, TWO)),
            "growth_ratio": max(slower),
        }


def _print(contenders: list[Contender]) -> None:
    def at_half(contender: Contender, percent: int) -> str:
        return f"{contender.steady.percentile_ms(percent):.1f}" if contender.steady else ""

    print_table(
        ("contender", "events/s", "processor, µs/event", "p50 at half, ms", "p99 at half, ms"),
        [
            (
                contender.name,
                f"{contender.per_second:,.0f}",
                f"{contender.median(lambda each: each.cpu_us):,.0f}",
                at_half(contender, 50),
                at_half(contender, 99),
            )
            for contender in contenders
        ],
    )


@asynccontextmanager
async def _aura(
    name: str, database: Database, database_name: str, folder: Path, *, processes: int = 1
) -> AsyncIterator[Contender]:
    """Run Aura with the two modules, spread over one process or two."""
    environment = {
        "AURA_ENVIRONMENT": "production",
        "AURA_LOG_LEVEL": "warning",
        "AURA_DATABASE_URL": database.url_of(database_name),
        "AURA_SECRET_KEY_FILE": str(database.secret_key_file),
        "AURA_SMTP_URL": "smtp+plain://127.0.0.1:1",  # no mail is sent here
        **RATE_LIMITS_OFF,
    }
    blocks = [[SOURCE, SINK]] if processes == 1 else [[SOURCE], [SINK]]
    ports = [free_port() for _ in blocks]
    topology = folder / f"{database_name}.toml"
    topology.write_text(
        "\n".join(
            f'[processes.p{index}]\nmodules = {json.dumps(block)}\naddress = "127.0.0.1:{port}"'
            for index, (block, port) in enumerate(zip(blocks, ports, strict=True))
        )
    )
    environment["AURA_TOPOLOGY_FILE"] = str(topology)
    arguments = ("-m", "benchmarks.event_modules.server", str(folder))
    async with AsyncExitStack() as stack:
        servers: list[Server] = []
        for index, port in enumerate(ports):
            own = environment | {"AURA_PROCESS": f"p{index}"}
            server = running(
                f"{database_name}-{index}", arguments, folder, environment=own, on_one_core=False, port=port
            )
            servers.append(stack.enter_context(server))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(servers[0].address))
        yield Contender(
            name=name,
            url=database.url_of(database_name),
            orders=f"{SOURCE}.orders",
            effects=f"{SINK}.effects",
            place=_placer(channel),
            cpu_seconds=lambda: sum(server.cpu_seconds() for server in servers),
        )


def _placer(channel: grpc.aio.Channel) -> Callable[[list[Orders]], Awaitable[None]]:
    # the folder with this code is known only now
    from generated.aura.source.v1 import order_service_pb2 as pb  # noqa: PLC0415
    from generated.aura.source.v1.order_service_pb2_grpc import OrderServiceStub  # noqa: PLC0415

    stub: Any = OrderServiceStub(channel)

    async def place(stretches: list[Orders]) -> None:
        await asyncio.gather(*(stub.PlaceOrders(pb.PlaceOrdersRequest(**vars(each))) for each in stretches))

    return place


@asynccontextmanager
async def _peer(database: Database) -> AsyncIterator[Contender]:
    """Run the peer in a process of its own."""
    url = async_url(database.url_of("peer"))
    environment = {
        "PATH": os.environ["PATH"],
        "BENCHMARK_DATABASE_URL": url.render_as_string(hide_password=False),
    }
    migrate = [sys.executable, "-m", "modulith", "migrate", "--url", sync_url(url)]
    subprocess.run(migrate, check=True, capture_output=True)  # noqa: ASYNC221 nothing else happens meanwhile
    with _talking_to("benchmarks.peers.modupy_app", environment) as (process, ask):
        yield Contender(
            name=PEER,
            url=database.url_of("peer"),
            orders="peer_orders",
            effects="peer_effects",
            place=lambda stretches: ask(json.dumps([vars(each) for each in stretches])),
            cpu_seconds=lambda: sum(process.cpu_times()[:2]),
        )


@contextmanager
def _talking_to(module: str, environment: dict[str, str]) -> Any:
    process = psutil.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    async def ask(line: str) -> None:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        if await asyncio.to_thread(process.stdout.readline) != "done\n":
            raise SystemExit(f"bench: {module} ended")

    try:
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"bench: {module} did not start")
        yield process, ask
    finally:
        process.terminate()
        process.wait()


async def _fill_finished(url: str, rows: int) -> None:
    """Put events into an outbox, each about a subject of its own, that have been handled."""
    say(f"filling an outbox with {rows:,} finished events")
    await _execute(
        url,
        _EVENTS.format(rows=rows),
        f"""INSERT INTO source.outbox_queues (subscriber, subject, last_sequence, next_sequence, attempts, lease)
            SELECT 'sink', 'old ' || n, 1, 2, 0, 1 FROM generate_series(1, {rows}) n""",
        f"""INSERT INTO sink.inbox (source, subject, sequence)
            SELECT 'source', 'old ' || n, 1 FROM generate_series(1, {rows}) n""",
        "VACUUM ANALYZE",
        "CHECKPOINT",
    )


async def _fill_waiting(url: str, rows: int) -> None:
    """Put events into an outbox, ten for each subject, that wait for the next attempt of their first."""
    say(f"filling an outbox with {rows:,} waiting events")
    await _execute(
        url,
        _EVENTS.format(rows=rows),
        f"""INSERT INTO source.outbox_queues
              (subscriber, subject, last_sequence, next_sequence, attempts, lease, due_time)
            SELECT 'sink', 'old ' || n, 10, 1, 3, 3, clock_timestamp() + interval '1 day'
            FROM generate_series(1, {rows // 10}) n""",
        """INSERT INTO source.outbox_deliveries (subscriber, subject, sequence, event_id)
           SELECT 'sink', 'old ' || (1 + (n - 1) / 10), 1 + (n - 1) % 10, event_id
           FROM (SELECT event_id, row_number() OVER (ORDER BY event_id) AS n FROM source.outbox_events) e""",
        "VACUUM ANALYZE",
        "CHECKPOINT",
    )


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


_EVENTS = """
INSERT INTO source.outbox_events
  (event_id, event_type, subject, data, user_id, via_module, trace_parent, request_id, occur_time)
SELECT uuidv7(- make_interval(secs => 86400 - n * 0.01)), 'order.placed', 'old ' || n, '\\x00'::bytea,
  'local', '', '', '', clock_timestamp() - interval '1 day'
FROM generate_series(1, {rows}) n
"""


def main(*, quick: bool) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="aura-bench-") as folder:
        figures = asyncio.run(measure(Path(folder), QUICK if quick else FULL))
    print(json.dumps({name: round(figure, 2) for name, figure in figures.items()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="see in a minute whether it works")
    main(**vars(parser.parse_args()))
