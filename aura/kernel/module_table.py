"""Shows the modules: as a table with where each is hosted and whether it answers, and as a graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import grpc
from rich.box import SIMPLE_HEAD
from rich.table import Table

from aura.kernel.contracts import service_names
from aura.kernel.health import SERVING, PlatformHealth
from aura.kernel.module import ModuleSpec
from aura.kernel.remote import RemoteProcess
from aura.kernel.topology import Topology

MESSAGE_BYTES = 1024 * 1024


async def modules_table(specs: Mapping[str, ModuleSpec], topology: Topology) -> Table:
    """Returns the modules as a table; asks each process for the health of what it hosts."""
    remotes = {
        name: RemoteProcess(
            process,
            services=(),
            tls=topology.tls.of(name) if topology.tls else None,
            maximum_message_bytes=MESSAGE_BYTES,
        )
        for name, process in topology.processes.items()
    }
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("module", "built as", "services", "depends on", "hosted by", "health"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "services")
    for module, spec in specs.items():
        process, services = topology.host_of(module), service_names(module, spec)
        channel_to = partial(_channel_of, remotes[process.name])
        health = PlatformHealth(dict.fromkeys(services, channel_to))
        serving = [await health.status_of(service) == SERVING for service in services]
        table.add_row(
            module,
            spec.architecture,
            "\n".join(spec.provides),
            ", ".join(spec.dependencies) or "-",
            f"{process.name}\n{process.address}",
            "[green]serving[/]" if all(serving) else "[red]not serving[/]",
        )
    for remote in remotes.values():
        await remote.close()
    return table


def modules_graph(specs: Mapping[str, ModuleSpec], topology: Topology) -> str:
    """Returns the modules, their calls and their events as a Mermaid flowchart, grouped by process."""
    lines = ["flowchart LR"]
    if len(topology.processes) == 1:
        lines += [f"  {module}" for module in specs]
    else:
        for process in topology.processes.values():
            members = [f"    {module}" for module in process.modules]
            lines += [f'  subgraph process_{process.name}["{process.name} ({process.address})"]', *members, "  end"]
    lines += [f"  {module} --> {dependency}" for module, spec in specs.items() for dependency in spec.dependencies]
    publishers = {event: module for module, spec in specs.items() for event in spec.publishes}
    lines += [
        f"  {publishers[event]} -. {event} .-> {module}"
        for module, spec in specs.items()
        for event in spec.subscribes
        if publishers[event] != module  # what a module tells itself is its own business
    ]
    return "\n".join(lines)


def _channel_of(remote: RemoteProcess) -> grpc.aio.Channel:
    return remote.channel
