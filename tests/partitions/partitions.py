"""All ways to spread modules over processes, and platforms that are spread so."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from dishka import Provider
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.kernel.host import Host
from aura.kernel.module import ModuleSpec
from aura.kernel.settings import Settings
from aura.kernel.topology import Process, Topology
from tests.support.cluster import KEYS
from tests.support.ports import free_port
from tests.support.root import CallerChannel, root_channel
from tests.support.server_process import ServerProcess, write_secret_key

Partition = tuple[tuple[str, ...], ...]
SOME_AS_PROCESSES = 6
QUICK_EVENTS: dict[str, Any] = {
    "event_attempts": 3,
    "event_first_pause_seconds": 0.02,
    "event_handler_seconds": 0.8,
    "event_lease_seconds": 3,
}


def partitions_of(modules: Sequence[str]) -> Iterator[Partition]:
    """Yields every partition of the modules, that with one block first: 2 of 2 modules, 52 of 5 (Bell's numbers)."""
    if not modules:
        yield ()
        return
    first, *others = modules
    for partition in partitions_of(others):
        for index, block in enumerate(partition):
            yield (*partition[:index], (first, *block), *partition[index + 1 :])
        yield ((first,), *partition)


def name_of(partition: Partition) -> str:
    return "|".join("+".join(block) for block in partition)


def some_of(partitions: Iterable[Partition]) -> list[Partition]:
    """A few partitions that differ much, those with most and with fewest blocks among them."""
    ordered = sorted(partitions, key=len)
    last = len(ordered) - 1
    count = min(SOME_AS_PROCESSES, len(ordered))
    return [ordered[round(index * last / max(1, count - 1))] for index in range(count)]


def topology_of(partition: Partition) -> Topology:
    """A process for each block, each at a free port of this machine."""
    processes = [
        Process(name=f"p{index}", modules=block, host="127.0.0.1", port=free_port())
        for index, block in enumerate(partition)
    ]
    return Topology(processes={process.name: process for process in processes})


def write_topology(path: Path, topology: Topology) -> Path:
    lines = []
    for process in topology.processes.values():
        modules = ", ".join(f'"{module}"' for module in process.modules)
        lines += [f"[processes.{process.name}]", f"modules = [{modules}]", f'address = "{process.address}"']
        lines += [f"http_port = {process.http_port}"] if process.http_port else []
    path.write_text("\n".join(lines))
    return path


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A platform that runs: two channels to each of its processes, on one of which root calls."""

    topology: Topology
    channels: Sequence[CallerChannel]
    outside_channels: Sequence[grpc.aio.Channel]

    def channel(self, number: int) -> Any:
        """One of the channels on which root calls; which one must make no difference."""
        return self.channels[number % len(self.channels)]

    def outside(self, number: int) -> grpc.aio.Channel:
        """One of the channels on which nobody is known who does not say it."""
        return self.outside_channels[number % len(self.outside_channels)]


@asynccontextmanager
async def in_one_process(
    partition: Partition,
    *,
    specs: Mapping[str, ModuleSpec],
    url: URL,
    folder: Path,
    overrides: Mapping[str, Sequence[Provider]] | None = None,
    **options: Any,
) -> AsyncIterator[Spread]:
    """Hosts each block behind a TCP server of its own, all in this process."""
    topology = topology_of(partition)
    hosts = [
        Host(
            settings=Settings(environment="test", data_dir=folder, http_port=None, **QUICK_EVENTS),
            specs=specs,
            database_url=url,
            keys=KEYS,
            topology=topology,
            process=name,
            overrides=overrides,
            **options,
        )
        for name in topology.processes
    ]
    async with AsyncExitStack() as stack:
        for host in hosts:
            await host.start()
            stack.push_async_callback(host.stop, 0)
        yield await _connected(topology, stack)


@contextmanager
def launched(
    topology: Topology, *, url: URL, folder: Path, arguments: tuple[str, ...], **settings: object
) -> Iterator[list[ServerProcess]]:
    """Starts the processes of a topology, without waiting until they serve."""
    given: dict[str, Any] = {
        "topology_file": write_topology(folder / "topology.toml", topology),
        "database_url": sync_url(url),
        "secret_key_file": write_secret_key(folder / "secret.key"),
        "environment": "test",
        **settings,
    }
    with ExitStack() as stack:
        servers = [
            stack.enter_context(ServerProcess(folder / name, arguments=arguments, port=None, process=name, **given))
            for name in topology.processes
        ]
        for server in servers:
            server.launch()
        yield servers


@asynccontextmanager
async def as_processes(
    partition: Partition, *, url: URL, folder: Path, arguments: tuple[str, ...] = ("server.py",)
) -> AsyncIterator[Spread]:
    """Starts a process of its own for each block."""
    topology = topology_of(partition)
    async with AsyncExitStack() as stack:
        servers = stack.enter_context(launched(topology, url=url, folder=folder, arguments=arguments, **QUICK_EVENTS))
        await asyncio.gather(*(asyncio.to_thread(server.wait_until_serving) for server in servers))
        yield await _connected(topology, stack)
        for server in servers:
            server.send(signal.SIGTERM)
        for server in servers:
            assert await asyncio.to_thread(server.wait) == 0


async def _connected(topology: Topology, stack: AsyncExitStack) -> Spread:
    channels, outside = [], []
    for name, process in topology.processes.items():
        channels.append(await stack.enter_async_context(root_channel(process.address, process=name)))
        outside.append(await stack.enter_async_context(grpc.aio.insecure_channel(process.address)))
    return Spread(topology=topology, channels=channels, outside_channels=outside)
