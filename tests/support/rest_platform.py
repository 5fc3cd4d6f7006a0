"""A platform of real processes, as those see it who use REST, and accounts on it that may do everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import randrange
from uuid import uuid4

import grpc
from sqlalchemy import URL

from aura.kernel.topology import Topology
from aura.modules import AURA_MODULES
from tests.partitions.partitions import Partition, launched, topology_of
from tests.support.ports import free_port
from tests.support.root import new_access_token
from tests.support.server_process import ServerProcess

SPREADS: dict[str, Partition] = {
    "one process": (tuple(AURA_MODULES),),
    "two processes": (("users",), tuple(name for name in AURA_MODULES if name != "users")),
}
SETTINGS = {
    "log_level": "debug",
    "log_format": "json",
    "password_memory_kib": 8192,
    "rate_limit_per_peer": 0,
    "rate_limit_per_account": 0,
    "trusted_proxies": "127.0.0.1/32",
    "smtp_url": "smtp+plain://127.0.0.1:1",
}


@dataclass(frozen=True, kw_only=True)
class RestPlatform:
    """Processes that serve.

    Attributes:
        topology: What each of them hosts.
        servers: They themselves, in the order of the topology.
        database_url: Where their data is.
    """

    topology: Topology
    servers: Sequence[ServerProcess]
    database_url: URL

    @property
    def urls(self) -> list[str]:
        """Where each of them serves HTTP."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def ports(self) -> list[int]:
        """The ports at which each of them serves HTTP."""
        ports = [process.http_port for process in self.topology.processes.values()]
        return [port for port in ports if port is not None]

    async def new_token(self) -> str:
        """Returns the access token of a new account that has every role."""
        process = next(each for each in self.topology.processes.values() if "users" in each.modules)
        async with grpc.aio.insecure_channel(process.address) as channel:
            email = f"root-{uuid4()}@example.com"
            return await new_access_token(channel, email=email, process=process.name, source=new_source())

    def logs(self) -> str:
        """All that they have logged."""
        return "\n".join(server.logs() for server in self.servers)


def new_source() -> str:
    """Returns a network address from which nobody has called, so that its failed logins are nobody else's."""
    return f"2001:db8:{randrange(2**16):x}:{randrange(2**16):x}::1"


@asynccontextmanager
async def rest_platform(spread: str, *, url: URL, folder: Path, **settings: object) -> AsyncIterator[RestPlatform]:
    """Runs a platform, spread as one of `SPREADS`."""
    processes = {
        name: replace(each, http_port=free_port()) for name, each in topology_of(SPREADS[spread]).processes.items()
    }
    topology = Topology(processes=processes)
    with launched(topology, url=url, folder=folder, arguments=("server.py",), **(SETTINGS | settings)) as servers:
        await asyncio.gather(*(asyncio.to_thread(server.wait_until_serving) for server in servers))
        yield RestPlatform(topology=topology, servers=servers, database_url=url)
