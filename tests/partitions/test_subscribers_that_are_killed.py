"""Subscribers whose processes are killed while they handle an event, however the modules are spread."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path

import asyncpg
import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from tests.partitions.partitions import Partition, launched, partitions_of, topology_of
from tests.partitions.probe.code import server_arguments
from tests.partitions.probe.specs import NAMES, PUBLISHER, SUBSCRIBERS
from tests.support.events import until_handled
from tests.support.root import root_channel
from tests.support.server_process import ServerProcess

ALL = list(partitions_of(NAMES))
SETTINGS = {"event_lease_seconds": 1.5, "event_handler_seconds": 1, "event_first_pause_seconds": 0.02}
SUBJECTS, NUMBERS = ("killed", "spared"), (1, 2, 3)
DEADLY = 2


@pytest.mark.timeout(180)
async def test_every_effect_happens_once_and_in_order(
    process_partition: Partition, probe_url: URL, probe_code: Path, tmp_path: Path
):
    arguments, topology = server_arguments(probe_code), topology_of(process_partition)
    with launched(topology, url=probe_url, folder=tmp_path, arguments=arguments, **SETTINGS) as servers:
        await asyncio.gather(*(asyncio.to_thread(server.wait_until_serving) for server in servers))
        ends: list[str] = []
        reviving = asyncio.create_task(_revive(servers, ends))
        async with root_channel(
            next(iter(topology.processes.values())).address, process=next(iter(topology.processes))
        ) as channel:
            await _publish(channel)
        await until_handled(probe_url, [PUBLISHER], seconds=120)
        reviving.cancel()

    wanted = [(subscriber, subject, number) for subscriber in SUBSCRIBERS for subject in SUBJECTS for number in NUMBERS]
    assert await _effects(probe_url) == wanted
    assert {name for name, process in topology.processes.items() if {*process.modules} & {*SUBSCRIBERS}} == {*ends}


async def _revive(servers: list[ServerProcess], ends: list[str]) -> None:
    """Starts whatever has ended, as an operator's supervisor does."""
    while True:
        await asyncio.sleep(0.05)
        for server in servers:
            if not server.is_running():
                ends.append(server.data_dir.parent.name)
                server.launch()


async def _publish(channel: grpc.aio.Channel) -> None:
    """Publishes events about each subject, of which one is deadly the first time it is handled."""
    pb = importlib.import_module("generated.aura.probe.v1.plan_pb2")
    publish = channel.unary_unary(
        f"/aura.{PUBLISHER}.v1.ProbeService/Run", pb.Plan.SerializeToString, pb.Report.FromString
    )
    happenings = [
        pb.Happening(
            subject=subject,
            number=number,
            mood=pb.MOOD_IS_KILLED if (subject, number) == ("killed", DEADLY) else pb.MOOD_UNSPECIFIED,
        )
        for number in NUMBERS
        for subject in SUBJECTS
    ]
    report = await publish(pb.Plan(label="publishes", publish=happenings))
    assert report.module == PUBLISHER


async def _effects(url: URL) -> list[tuple[str, str, int]]:
    """What happened, by subscriber and subject, in the order in which it took effect."""
    connection = await asyncpg.connect(sync_url(url))
    try:
        found = []
        for name in SUBSCRIBERS:
            rows = await connection.fetch(f"SELECT subject, number FROM {name}.effects ORDER BY subject, position")
            found += [(name, row["subject"], row["number"]) for row in rows]
        return found
    finally:
        await connection.close()
