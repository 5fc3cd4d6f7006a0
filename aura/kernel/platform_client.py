"""Calls a running platform in its own name, from its own machine: whoever can read the secret key may do so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc

from aura.kernel.channel import ModuleChannel
from aura.kernel.contracts import load_contract, service_names
from aura.kernel.module import ModuleSpec
from aura.kernel.registry import WayOutside
from aura.kernel.remote import RemoteProcess
from aura.kernel.security.actor import KERNEL
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.security.keys import read_secret_key
from aura.kernel.serving import topology_of
from aura.kernel.settings import Settings

MESSAGE_BYTES = 4 * 1024 * 1024


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
    process = topology.host_of(module)
    load_contract(module)
    remote = RemoteProcess(
        process,
        services=service_names(module, specs[module]),
        tls=topology.tls.of(process.name) if topology.tls else None,
        maximum_message_bytes=MESSAGE_BYTES,
    )
    try:
        identities = InternalIdentities(read_secret_key(settings.secret_key_path, create=False))
        yield ModuleChannel(WayOutside(remote=remote, caller=KERNEL, module=module, identities=identities))
    finally:
        await remote.close()
