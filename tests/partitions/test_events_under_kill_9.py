"""Events reach every subscriber once and in order while processes are killed at random, again and again.

A publisher in this process commits events about many subjects. Relay and subscribers run in three processes, of which
one is killed with -9 every second, and started again.
"""

from __future__ import annotations

import asyncio
import importlib
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import URL

from aura.kernel.audit import AuditTrail
from aura.kernel.database import Database, sync_url
from aura.kernel.events.inbox import NO_DELIVERY
from aura.kernel.events.outbox import Outbox
from aura.kernel.idempotency import IdempotentRequest, idempotency_table
from aura.kernel.security.access_changes import AccessChanges
from aura.kernel.unit_of_work import UnitOfWork
from tests.partitions.partitions import launched, topology_of
from tests.partitions.probe.code import server_arguments
from tests.partitions.probe.specs import EVENT_TYPE, PUBLISHER, SUBSCRIBERS
from tests.support.cluster import KEYS
from tests.support.events import until_handled
from tests.support.server_process import ServerProcess

BLOCKS = (("alpha", "beta"), ("gamma", "epsilon"), ("delta",))
SETTINGS = {"event_lease_seconds": 3, "event_handler_seconds": 2, "event_attempts": 1000}
SECONDS_BETWEEN_KILLS = 1.0
PUBLISHERS = 4


@dataclass(frozen=True)
class Size:
    events: int
    subjects: int
    seconds: float


SMALL, FULL = Size(events=1000, subjects=48, seconds=8), Size(events=20_000, subjects=500, seconds=90)


@pytest.mark.timeout(1500)
async def test_each_effect_happens_once_and_in_order(
    probe_url: URL,
    probe_code: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_figure: Callable[[str, object], None],
):
    size = FULL if request.config.getoption("--prove") else SMALL
    topology = topology_of(BLOCKS)
    arguments = server_arguments(probe_code)
    with launched(topology, url=probe_url, folder=tmp_path, arguments=arguments, **SETTINGS) as servers:
        kills: list[str] = []
        killing = asyncio.create_task(_kill_at_random(servers, kills))
        await _publish(probe_url, size)
        killing.cancel()
        await asyncio.wait([killing])
        for server in servers:
            if not server.is_running():
                server.launch()
        await until_handled(probe_url, [PUBLISHER], seconds=600)
    found = await _effects(probe_url)

    figures = _compare(found, size)
    for name, figure in {"events": size.events, **figures, "kills": len(kills)}.items():
        record_figure(name, figure)
    assert figures == {"missing": 0, "duplicated": 0, "out_of_order": 0}


async def _kill_at_random(servers: list[ServerProcess], kills: list[str]) -> None:
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_KILLS)
        server = random.choice(servers)
        await asyncio.to_thread(server.kill)
        server.launch()
        kills.append(server.data_dir.parent.name)


async def _publish(url: URL, size: Size) -> None:
    """Commits the events over a while, each subject's by one publisher, so that their order is known."""
    database = Database(url=url, module=PUBLISHER, keys=KEYS)
    message = importlib.import_module(f"generated.aura.{PUBLISHER}.v1.events_pb2").ProbeHappened
    outbox = Outbox(module=PUBLISHER, publishes=[EVENT_TYPE])
    request = IdempotentRequest(
        table=idempotency_table(PUBLISHER), actor="chaos", method="m", request_id="", fingerprint=b""
    )
    pause = size.seconds / (size.events / PUBLISHERS)

    async def publish(publisher: int) -> None:
        loop = asyncio.get_running_loop()
        begin, counts = loop.time(), defaultdict[int, int](int)
        for number in range(publisher, size.events, PUBLISHERS):
            subject = number % size.subjects
            counts[subject] += 1
            work = UnitOfWork(
                database=database,
                request=request,
                outbox=outbox,
                delivery=NO_DELIVERY,
                audit_trail=AuditTrail(module=PUBLISHER, database=database),
                access_changes=AccessChanges(),
            )
            async with work:
                work.publish(message(subject=str(subject), number=counts[subject]))
                await work.commit()
            await asyncio.sleep(max(0, begin + pause * (number // PUBLISHERS) - loop.time()))

    assert size.subjects % PUBLISHERS == 0
    await asyncio.gather(*map(publish, range(PUBLISHERS)))
    await database.close()


async def _effects(url: URL) -> dict[tuple[str, str], list[int]]:
    """The numbers that each subscriber has of each subject, in the order in which they took effect."""
    connection = await asyncpg.connect(sync_url(url))
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    try:
        for subscriber in SUBSCRIBERS:
            for row in await connection.fetch(f"SELECT subject, number FROM {subscriber}.effects ORDER BY position"):
                found[subscriber, row["subject"]].append(row["number"])
    finally:
        await connection.close()
    return found


def _compare(found: dict[tuple[str, str], list[int]], size: Size) -> dict[str, int]:
    missing = duplicated = out_of_order = 0
    for subscriber in SUBSCRIBERS:
        for subject in range(size.subjects):
            numbers = found[subscriber, str(subject)]
            expected = len(range(subject, size.events, size.subjects))
            missing += len(set(range(1, expected + 1)) - set(numbers))
            duplicated += len(numbers) - len(set(numbers))
            out_of_order += sum(later < earlier for earlier, later in pairwise(numbers))
    return {"missing": missing, "duplicated": duplicated, "out_of_order": out_of_order}
