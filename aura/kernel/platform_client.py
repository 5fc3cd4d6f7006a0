"""Calls a running platform in its own name, from its own machine: whoever can read the secret key may do so."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import grpc

from aura.kernel.channel import ModuleChannel
from aura.kernel.contracts import load_contract, service_names
from aura.kernel.errors import AuraError, Internal, Unavailable
from aura.kernel.module import ModuleSpec
from aura.kernel.registry import WayOutside
from aura.kernel.remote import RemoteProcess
from aura.kernel.security.actor import KERNEL
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.security.keys import read_secret_key
from aura.kernel.serving import topology_of
from aura.kernel.settings import Settings
from aura.kernel.topology import Process, Topology

ANOTHER_KEY = (
    "the platform runs with another secret key than this command (see AURA_SECRET_KEY_FILE and AURA_DATA_DIR), or "
    "something failed there; its log says what"
)
MESSAGE_BYTES = 64 * 1024 * 1024


def what_went_wrong(error: AuraError) -> str:
    """Returns what an operator is told of a call that failed, in one line, with what to do."""
    if isinstance(error, Unavailable):
        return (
            f"{error.message.removesuffix('; try again')}; start it first, on this machine and with the same settings"
        )
    return ANOTHER_KEY if isinstance(error, Internal) else error.message


@asynccontextmanager
async def platform_channel(
    settings: Settings, specs: Mapping[str, ModuleSpec], module: str
) -> AsyncIterator[grpc.aio.Channel]:
    """Lends a channel to a module of the platform that runs with these settings.

    Calls raise AuraError: `Unavailable` if the process that hosts the module is not there.

    Raises:
        SecretKeyError: The secret key cannot be read.
        TopologyError: The topology is wrong.
    """
    topology = topology_of(settings, specs)
    load_contract(module)
    services = service_names(module, specs[module])
    async with _channel(settings, topology, topology.host_of(module), services=services, module=module) as channel:
        yield channel


async def process_channels(settings: Settings, specs: Mapping[str, ModuleSpec]) -> AsyncGenerator[grpc.aio.Channel]:
    """Lends a channel to each process of the platform in turn, for calls that any of them answers for all.

    Calls and errors are as those of `platform_channel`.
    """
    topology = topology_of(settings, specs)
    for process in topology.processes.values():
        async with _channel(settings, topology, process, services=(), module=", ".join(process.modules)) as channel:
            yield channel


@asynccontextmanager
async def _channel(
    settings: Settings, topology: Topology, process: Process, *, services: Iterable[str], module: str
) -> AsyncIterator[grpc.aio.Channel]:
    identities = InternalIdentities(read_secret_key(settings.secret_key_path, create=False))
    remote = RemoteProcess(
        process,
        services=services,
        tls=topology.tls.of(process.name) if topology.tls else None,
        maximum_message_bytes=MESSAGE_BYTES,
    )
    try:
        yield ModuleChannel(WayOutside(remote=remote, caller=KERNEL, module=module, identities=identities))
    finally:
        await remote.close()
