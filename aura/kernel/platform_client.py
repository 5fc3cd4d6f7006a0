"""Calls a running platform in its own name, from its own machine: whoever can read the secret key may do so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
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

ANOTHER_KEY = (
    "the platform runs with another secret key than this command (see AURA_SECRET_KEY_FILE and AURA_DATA_DIR), or "
    "something failed there; its log says what"
)
MESSAGE_BYTES = 4 * 1024 * 1024


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
