"""Hosts modules in this process: their servicers on the network and in-process, behind one chain of interceptors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import grpc
from dishka import Container, Provider
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import URL

from aura.kernel import module_service
from aura.kernel.container import KernelProvider, module_container
from aura.kernel.database import Database
from aura.kernel.database_monitor import LIMITS as MONITOR_LIMITS
from aura.kernel.database_monitor import DatabaseMonitor, Revive
from aura.kernel.health import DrainingHealthServicer
from aura.kernel.housekeeping import Housekeeping
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.access_log import AccessLog
from aura.kernel.interceptors.chain import InterceptorChain
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.identity import Identity
from aura.kernel.interceptors.load_shedding import LoadShedding
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.interceptors.validation import Validation
from aura.kernel.module import ModuleSpec, load_module, validate_services, validate_specs
from aura.kernel.reflection import SERVICES as REFLECTION_SERVICES
from aura.kernel.reflection import add_reflection
from aura.kernel.registry import ServiceRegistry, add_to_server, generated_servicer, owner_of_generated
from aura.kernel.security.keys import KeyRing
from aura.kernel.servicers import ScopedServicer, missing_methods
from aura.kernel.settings import Settings

HEALTH_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
PROCESS = "aura"
HIGHEST_PORT = 65535
NOTICE_SECONDS = 0.05  # from telling that nothing is served any more to closing the port


class AddressInUse(Exception):
    """Something else listens at the address that the server is to have."""

    def __init__(self, *, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port} is taken by another program; stop it, or choose another port: "
            f"AURA_PORT={port + 1 if port < HIGHEST_PORT else port - 1}"
        )


@dataclass
class HostedModule:
    """A module in this process: its database, its container, and the servicers it registered."""

    database: Database
    container: Container
    servicers: list[type[object]] = field(default_factory=list)

    def register(self, servicer_class: type[object]) -> None:
        """Notes a servicer that the module hosts."""
        self.servicers.append(servicer_class)

    @property
    def services(self) -> list[str]:
        """The full names of the services it hosts."""
        return [owner_of_generated(generated_servicer(servicer), "Servicer").service for servicer in self.servicers]


class Host:
    """The modules of this process and the servers they are reached by."""

    def __init__(
        self,
        *,
        settings: Settings,
        specs: Mapping[str, ModuleSpec],
        database_url: URL,
        keys: KeyRing,
        overrides: Mapping[str, Sequence[Provider]] | None = None,
        revive_database: Revive = lambda: None,
    ) -> None:
        validate_specs(specs)
        self._settings = settings
        self._specs = specs
        self._health = DrainingHealthServicer()
        self._admission = LoadShedding(limit=settings.maximum_concurrent_calls)
        chain = InterceptorChain(
            [
                RequestIds(),
                AccessLog(),
                ErrorMapping(),
                Identity(),
                self._admission,
                Validation(),
            ],
            except_services=[HEALTH_SERVICE, *REFLECTION_SERVICES],
        )
        self._network = _network_server(chain, settings.maximum_message_bytes)
        self._in_process = InProcessServer(interceptors=[chain], maximum_message_bytes=settings.maximum_message_bytes)
        self.registry = ServiceRegistry(specs=specs, server=self._in_process)
        self._modules = {
            name: self._host(name, spec, database_url, keys, (overrides or {}).get(name, ()))
            for name, spec in specs.items()
        }
        self.address = ""
        module = next(iter(specs))
        self._monitor = DatabaseMonitor(
            database=Database(url=database_url, module=module, keys=keys, limits=MONITOR_LIMITS),
            on_change=self._database_changed,
            revive=revive_database,
        )
        self._housekeeping = Housekeeping({name: hosted.database for name, hosted in self._modules.items()})

    @property
    def services(self) -> list[str]:
        """The full names of all services that the modules and the kernel host."""
        return [
            *(service for module in self._modules.values() for service in module.services),
            module_service.SERVICE,
        ]

    @property
    def channel(self) -> grpc.aio.Channel:
        """A new in-process channel to all services, as a caller from outside has it."""
        channel: grpc.aio.Channel = self._in_process.channel()
        return channel

    async def start(self) -> None:
        """Begins to serve.

        Raises:
            AddressInUse: The port is taken.
        """
        self.address = self._bind()
        for module in self._modules.values():
            for servicer_class in module.servicers:
                stand_in = ScopedServicer(servicer_class=servicer_class, container=module.container)
                add_to_server(servicer_class, stand_in, (self._network, self._in_process))
        servicer = module_service.ModuleServicer(specs=self._specs, process=PROCESS, address=self.address)
        add_to_server(module_service.ModuleServicer, servicer, (self._network, self._in_process))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._network)
        add_reflection([*self.services, HEALTH_SERVICE], self._network)
        await self._in_process.start()
        await self._network.start()
        await self._report_health(database_answers=True)
        self._monitor.start()
        self._housekeeping.start()

    async def stop(self, grace: float) -> None:
        """Reports itself as not serving, lets running calls end for `grace` seconds, cancels the rest, and closes."""
        self._admission.close()  # first: gRPC itself may answer CANCELLED, which nobody retries, while it shuts down
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(NOTICE_SECONDS)
        drained = asyncio.create_task(self._network.stop(grace))
        await self._health.end_watches()
        await self._housekeeping.stop()
        await self._monitor.stop()
        await drained
        await self._in_process.stop(grace)
        await self.registry.close()
        for module in self._modules.values():
            module.container.close()
            await module.database.close()

    async def _database_changed(self, answers: bool) -> None:  # noqa: FBT001 it is the monitor's callback
        if answers:
            for module in self._modules.values():
                await module.database.renew()
        await self._report_health(database_answers=answers)

    async def _report_health(self, *, database_answers: bool) -> None:
        response = health_pb2.HealthCheckResponse
        for service in ("", *self.services):
            await self._health.set(service, response.SERVING if database_answers else response.NOT_SERVING)

    def _host(
        self, name: str, spec: ModuleSpec, database_url: URL, keys: KeyRing, overrides: Sequence[Provider]
    ) -> HostedModule:
        database = Database(url=database_url, module=name, keys=keys, limits=self._settings.database_limits)
        module = load_module(spec)
        kernel = KernelProvider(name=name, database=database, keys=keys, services=self.registry.for_module(name))
        hosted = HostedModule(database=database, container=module_container(module, kernel, overrides))
        module.register_services(hosted)
        missing = [method for servicer in hosted.servicers for method in missing_methods(servicer)]
        validate_services(name, spec, (service.rpartition(".")[2] for service in hosted.services), missing)
        return hosted

    def _bind(self) -> str:
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        require_free(self._settings.host, self._settings.port)
        try:
            port = self._network.add_insecure_port(f"{host}:{self._settings.port}")
        except RuntimeError:
            raise AddressInUse(host=self._settings.host, port=self._settings.port) from None
        return f"{host}:{port}"


def require_free(host: str, port: int) -> None:
    """Sees that nothing listens at an address.

    Raises:
        AddressInUse: Something does, or the port may not be opened.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise AddressInUse(host=host, port=port) from None


def _network_server(chain: InterceptorChain, maximum_message_bytes: int) -> grpc.aio.Server:
    return grpc.aio.server(
        interceptors=[chain],
        options=[
            ("grpc.max_receive_message_length", maximum_message_bytes),
            ("grpc.max_send_message_length", maximum_message_bytes),
            ("grpc.so_reuseport", 0),  # otherwise a second server on the port would go unnoticed
        ],
    )
