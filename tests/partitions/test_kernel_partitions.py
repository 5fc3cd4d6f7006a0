"""Five small modules behave the same in every one of the 52 ways to spread them over processes."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from tests.partitions.conftest import PROBE_TEMPLATE, cloned
from tests.partitions.partitions import Partition, as_processes, in_one_process, name_of, partitions_of
from tests.partitions.probe.code import server_arguments
from tests.partitions.probe.specs import NAMES, PROBE_MODULES
from tests.partitions.transcript import Played, Transcript, assert_alike, digest_of
from tests.support.cluster import Cluster
from tests.support.events import until_handled

ALL = list(partitions_of(NAMES))
TABLES = [f"{name}.{table}" for name in NAMES for table in ("runs", "effects", "outbox_queues", "inbox")]


def test_there_are_as_many_partitions_as_bell_says():
    assert len(ALL) == len(set(ALL)) == 52
    assert ALL[0] == (NAMES,)


@pytest.fixture(scope="module")
def in_single_process(cluster: Cluster, probe_template: str, probe_code: Path, tmp_path_factory) -> Played:
    """What comes of the scenarios with everything in one process."""
    folder = tmp_path_factory.mktemp("single")
    return asyncio.run(_play_in_one_process(ALL[0], cluster, folder))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("partition", ALL[1:], ids=name_of)
async def test_a_partition_over_tcp_behaves_like_a_single_process(
    partition: Partition, in_single_process: Played, cluster: Cluster, tmp_path: Path
):
    played = await _play_in_one_process(partition, cluster, tmp_path)

    assert_alike(played, in_single_process)


@pytest.mark.timeout(300)
async def test_a_partition_of_real_processes_behaves_like_a_single_process(
    process_partition: Partition,
    in_single_process: Played,
    cluster: Cluster,
    probe_template: str,
    probe_code: Path,
    tmp_path: Path,
):
    async with (
        cloned(cluster, probe_template) as url,
        as_processes(process_partition, url=url, folder=tmp_path, arguments=server_arguments(probe_code)) as spread,
    ):
        played = await _play(spread, url)

    assert_alike(played, in_single_process)


async def _play_in_one_process(partition: Partition, cluster: Cluster, folder: Path) -> Played:
    async with (
        cloned(cluster, PROBE_TEMPLATE) as url,
        in_one_process(partition, specs=PROBE_MODULES, url=url, folder=folder) as spread,
    ):
        return await _play(spread, url)


async def _play(spread: Any, url: URL) -> Played:
    scenarios = importlib.import_module("tests.partitions.probe.scenarios")  # not before the probes' code is there
    transcript = Transcript()
    await scenarios.play(spread, transcript)
    await _until_written(url, scenarios.labels_to_come())
    await until_handled(url, NAMES)
    return Played(transcript.entries, await digest_of(url, TABLES, transcript))


async def _until_written(url: URL, labels: dict[str, int]) -> None:
    connection = await asyncpg.connect(sync_url(url))
    query = " UNION ALL ".join(f"SELECT label FROM {name}.runs" for name in NAMES)
    try:
        async with asyncio.timeout(20):
            while _counted(await connection.fetch(query), labels) != labels:  # noqa: ASYNC110 rows have no event
                await asyncio.sleep(0.05)
    finally:
        await connection.close()


def _counted(rows: Iterable[Any], labels: dict[str, int]) -> dict[str, int]:
    found = [row["label"] for row in rows]
    return {label: found.count(label) for label in labels}
