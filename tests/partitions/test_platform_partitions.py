"""The platform's own modules behave the same however they are spread over processes."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from aura.modules import AURA_MODULES
from tests.partitions.acceptance import play
from tests.partitions.conftest import cloned
from tests.partitions.partitions import Partition, as_processes, in_one_process, name_of, partitions_of
from tests.partitions.transcript import Played, Transcript, assert_alike, digest_of, tables_of
from tests.support.accounts import set_password
from tests.support.cluster import TEMPLATE, Cluster
from tests.support.events import Deliveries, until_handled

ALL = list(partitions_of(tuple(AURA_MODULES)))


@pytest.fixture(scope="module")
def in_single_process(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """What comes of the acceptance suite with everything in one process."""
    return asyncio.run(_play_in_one_process(ALL[0], cluster, tmp_path_factory.mktemp("single")))


def test_the_suite_calls_every_method_and_meets_most_codes(in_single_process: Played):
    names = {entry["name"].split()[-1] for entry in in_single_process.entries}
    codes = {entry.get("code") for entry in in_single_process.entries}

    assert len(in_single_process.entries) > 60
    assert names >= {"CreateUser", "ScheduleTherapySession", "GetStatistics", "SearchDisorders", "Login"}
    assert codes >= {"OK", "NOT_FOUND", "ALREADY_EXISTS", "FAILED_PRECONDITION", "ABORTED", "INVALID_ARGUMENT"}


@pytest.mark.parametrize("partition", ALL[1:], ids=name_of)
async def test_a_partition_over_tcp_behaves_like_a_single_process(
    partition: Partition, in_single_process: Played, cluster: Cluster, tmp_path: Path
):
    assert_alike(await _play_in_one_process(partition, cluster, tmp_path), in_single_process)


async def test_a_partition_of_real_processes_behaves_like_a_single_process(
    process_partition: Partition, in_single_process: Played, cluster: Cluster, tmp_path: Path
):
    async with cloned(cluster, TEMPLATE) as url, as_processes(process_partition, url=url, folder=tmp_path) as spread:
        played = await _play(spread, url)

    assert_alike(played, in_single_process)


@pytest.mark.parametrize("partition", ALL, ids=name_of)
async def test_delivering_every_event_again_and_again_changes_nothing(
    partition: Partition, in_single_process: Played, cluster: Cluster, tmp_path: Path
):
    deliveries = Deliveries(times=2)

    played = await _play_in_one_process(partition, cluster, tmp_path, event_transport=deliveries)

    assert_alike(played, in_single_process)
    assert deliveries.count > 0


@pytest.mark.parametrize("partition", ALL, ids=name_of)
async def test_a_relay_that_dies_between_the_effect_and_knowing_of_it_changes_nothing(
    partition: Partition, in_single_process: Played, cluster: Cluster, tmp_path: Path
):
    deliveries = Deliveries(crash_after=1)

    played = await _play_in_one_process(partition, cluster, tmp_path, event_transport=deliveries)

    assert_alike(played, in_single_process)
    assert deliveries.count > 1


async def _play_in_one_process(partition: Partition, cluster: Cluster, folder: Path, **options: Any) -> Played:
    async with (
        cloned(cluster, TEMPLATE) as url,
        in_one_process(partition, specs=AURA_MODULES, url=url, folder=folder, **options) as spread,
    ):
        return await _play(spread, url)


async def _play(spread: Any, url: URL) -> Played:
    transcript = Transcript()
    await play(spread, transcript, partial(until_handled, url, AURA_MODULES), partial(set_password, url))
    return Played(transcript.entries, await digest_of(url, await tables_of(url, AURA_MODULES), transcript))
