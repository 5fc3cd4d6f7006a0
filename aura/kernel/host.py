"""Hosts modules in this process: their servicers on the network and in-process, behind one chain of interceptors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import grpc
from dishka import Provider
from grpc_health.v1 import health_pb2_grpc
from sqlalchemy import URL

from aura.kernel import health
from aura.kernel.access_table import KERNEL_SERVICES, require_access_rules
from aura.kernel.audit import AuditTrail
from aura.kernel.background import Background
from aura.kernel.call_chains import CallChains, call_chains
from aura.kernel.container import KernelProvider, module_container
from aura.kernel.contracts import load_contract, service_names
from aura.kernel.database import Database
from aura.kernel.database_monitor import LIMITS as MONITOR_LIMITS
from aura.kernel.database_monitor import Revive
from aura.kernel.events.bus import EventBus
from aura.kernel.events.metrics import EventMetrics
from aura.kernel.events.outbox import Outbox
from aura.kernel.events.relay import Relay
from aura.kernel.events.relay_settings import RelaySettings
from aura.kernel.events.transport import EventTransport, GrpcEventTransport
from aura.kernel.events.types import event_types_of
from aura.kernel.forwarding import Forwarding
from aura.kernel.health import NOT_SERVING, SERVING, PlatformHealth
from aura.kernel.hosted_module import HostedModule
from aura.kernel.http.platform import http_application, http_limits
from aura.kernel.http.server import HttpServer
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.load_shedding import LoadShedding
from aura.kernel.kernel_services import FROM_OUTSIDE, KernelServicers
from aura.kernel.listening import listen
from aura.kernel.module import ModuleSpec, load_module, validate_events, validate_services, validate_specs
from aura.kernel.network_server import NetworkServer, bind
from aura.kernel.pagination import PageTokens
from aura.kernel.reflection import add_reflection
from aura.kernel.registry import ServiceRegistry, add_to_server
from aura.kernel.security.access_changes import AccessChanges
from aura.kernel.security.callers import AccessService, Callers
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.security.keys import KeyRing
from aura.kernel.security.sources import BY_GATEWAY
from aura.kernel.servicers import ScopedServicer, missing_methods
from aura.kernel.settings import Settings
from aura.kernel.topology import Process, Topology

NOTICE_SECONDS = 0.05  # from telling that nothing is served any more to closing the port


class Host:
    """The modules of one process and the servers they are reached by; calls of all other modules are passed on.

    Args:
        settings: what the operator chose.
        specs: all modules of the platform.
        database_url: the database, without the roles of modules.
        keys: the platform's keys.
        topology: where each module is hosted; by default all of them here, at the address that the settings name.
        process: the name of this process in the topology.
        overrides: providers that take the place of a module's own.
        revive_database: starts the database again if that is up to this process.
        relay_settings: how events are delivered; by default as the settings say.
        event_transport: what makes a module's way to its subscribers.
        now: the time by which access tokens are valid, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        specs: Mapping[str, ModuleSpec],
        database_url: URL,
        keys: KeyRing,
        topology: Topology | None = None,
        process: str | None = None,
        overrides: Mapping[str, Sequence[Provider]] | None = None,
        revive_database: Revive = lambda: None,
        relay_settings: RelaySettings | None = None,
        event_transport: Callable[..., EventTransport] = GrpcEventTransport,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._now = now
        self._event_transport = event_transport
        validate_specs(specs)
        self._relay_settings = relay_settings or settings.relay_settings
        self._settings = settings
        self._specs = specs
        self._topology = topology or Topology.single(
            specs, host=settings.host, port=settings.port, http_port=settings.http_port, tls=settings.tls
        )
        self._process = self._topology.process(process)
        self._metrics = EventMetrics()
        self._http: HttpServer | None = None
        self._admission = LoadShedding(limit=settings.maximum_concurrent_calls)
        self._identities = InternalIdentities(keys)
        self._page_tokens = PageTokens(keys)
        self._callers = self._find_callers()
        self._trails: dict[str, AuditTrail] = {}
        elsewhere = self._services_elsewhere()
        chains = self._chains(elsewhere)
        self._network = NetworkServer(chains.serving, settings.network_limits)
        self._in_process = InProcessServer(
            interceptors=[chains.serving], maximum_message_bytes=settings.maximum_message_bytes
        )
        self.registry = self._new_registry()
        self._forwarding = self._new_forwarding(elsewhere, chains)
        self._health = PlatformHealth(
            {service: partial(self._channel_to, process) for service, process in elsewhere.items()}
        )
        self._modules = {
            name: self._host(name, specs[name], database_url, keys, (overrides or {}).get(name, ()))
            for name in self._process.modules
        }
        require_access_rules([*self.services, *KERNEL_SERVICES])
        self.address = self.http_address = ""
        self._background = Background(
            modules=self._modules,
            new_database=lambda: Database(
                url=database_url, module=self._process.modules[0], keys=keys, limits=MONITOR_LIMITS
            ),
            on_database_change=self._database_changed,
            revive_database=revive_database,
            callers=self._callers,
        )

    @property
    def process(self) -> Process:
        """This process, as the topology has it; its port is the one it serves at once it has started."""
        return self._process

    @property
    def services(self) -> list[str]:
        """The full names of all services that the modules and the kernel host here."""
        return [
            *(service for module in self._modules.values() for service in module.services),
            *FROM_OUTSIDE,
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
        self._bind()
        servers = (self._network, self._in_process)
        for module in self._modules.values():
            for servicer_class in module.servicers:
                stand_in = ScopedServicer(servicer_class=servicer_class, container=module.container)
                add_to_server(servicer_class, stand_in, servers)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._network)
        self._kernel_servicers().add_to(servers)
        for server in servers:
            server.add_generic_rpc_handlers((self._forwarding,))
        add_reflection(self._described_services(), self._network)
        await self._in_process.start()
        await self._network.start()
        await self._report_health(database_answers=True)
        await self._background.start()
        if self._http:
            self._http.start()

    async def stop(self, grace: float) -> None:
        """Reports itself as not serving, lets running calls end for `grace` seconds, cancels the rest, and closes."""
        self._admission.close()  # first: gRPC itself may answer CANCELLED, which nobody retries, while it shuts down
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(NOTICE_SECONDS)
        drained = asyncio.gather(self._network.stop(grace), *([self._http.stop(grace)] if self._http else []))
        await self._health.end_watches()
        await self._background.stop()
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
        for service in ("", *self.services):
            await self._health.set(service, SERVING if database_answers else NOT_SERVING)

    def _chains(self, elsewhere: Iterable[str]) -> CallChains:
        return call_chains(
            settings=self._settings,
            specs=self._specs,
            process=self._process.name,
            identities=self._identities,
            callers=self._callers,
            admission=self._admission,
            trails=self._trails,
            elsewhere=elsewhere,
        )

    def _new_registry(self) -> ServiceRegistry:
        return ServiceRegistry(
            specs=self._specs,
            topology=self._topology,
            process=self._process,
            server=self._in_process,
            identities=self._identities,
            maximum_message_bytes=self._settings.maximum_message_bytes,
        )

    def _new_forwarding(self, elsewhere: Mapping[str, Process], chains: CallChains) -> Forwarding:
        return Forwarding(
            elsewhere=elsewhere,
            chain=chains.passing_on,
            registry=self.registry,
            identities=self._identities,
            process=self._process.name,
        )

    def _channel_to(self, process: Process) -> grpc.aio.Channel:
        return self.registry.remote(process).channel

    def _described_services(self) -> list[str]:
        """Returns the services that reflection describes: all of the platform, for all can be called here."""
        for name in self._specs:
            load_contract(name)
        modules = (service for name, spec in self._specs.items() for service in service_names(name, spec))
        return [*modules, *FROM_OUTSIDE, health.SERVICE]

    def _services_elsewhere(self) -> dict[str, Process]:
        """Returns the process of each service that is not hosted here."""
        return {
            service: self._topology.host_of(module)
            for module, spec in self._specs.items()
            if module not in self._process.modules
            for service in service_names(module, spec)
        }

    def _find_callers(self) -> Callers | None:
        """Returns what knows the callers with access tokens; None if no module of the platform does."""
        for name, spec in self._specs.items():
            if spec.access_service:
                load_contract(name)
                service = f"aura.{name}.v1.{spec.access_service}"
                return Callers(AccessService(service, partial(self._kernel_channel, name)), now=self._now)
        return None

    def _kernel_channel(self, module: str) -> grpc.aio.Channel:
        return self.registry.kernel_channel(module)

    def _host(
        self, name: str, spec: ModuleSpec, database_url: URL, keys: KeyRing, overrides: Sequence[Provider]
    ) -> HostedModule:
        database = Database(url=database_url, module=name, keys=keys, limits=self._settings.database_limits)
        self._trails[name] = AuditTrail(module=name, database=database)
        module, bus = load_module(spec), EventBus()
        outbox = Outbox(module=name, publishes=spec.publishes, metrics=self._metrics)
        relay = Relay(
            module=name,
            database=database,
            outbox=outbox,
            transport=self._event_transport(module=name, registry=self.registry),
            settings=self._relay_settings,
            metrics=self._metrics,
        )
        outbox.wake = relay.wake
        kernel = KernelProvider(
            name=name,
            database=database,
            keys=keys,
            services=self.registry.for_module(name),
            outbox=outbox,
            account_settings=self._settings.account_settings,
            access_changes=AccessChanges(self._callers.forget if self._callers else lambda _: None),
        )
        container = module_container(module, kernel, overrides)
        tasks = {name: getattr(module, name)() for name in ("startup", "housekeeping") if hasattr(module, name)}
        hosted = HostedModule(database=database, container=container, bus=bus, relay=relay, **tasks)
        module.register_services(hosted)
        missing = [method for servicer in hosted.servicers for method in missing_methods(servicer)]
        validate_services(name, spec, (service.rpartition(".")[2] for service in hosted.services), missing)
        module.subscribe_to_events(bus)
        validate_events(name, spec, declared=event_types_of(name), subscribed=bus.types)
        return hosted

    def _kernel_servicers(self) -> KernelServicers:
        return KernelServicers(
            specs=self._specs,
            topology=self._topology,
            process=self._process.name,
            modules=self._modules,
            health=self._health,
            registry=self.registry,
            identities=self._identities,
            page_tokens=self._page_tokens,
        )

    def _bind(self) -> None:
        by_topology = self._settings.topology_file is not None
        port = bind(self._network, self._process, self._topology.tls, by_topology=by_topology)
        self._topology = self._topology.listening(self._process.name, port)
        self._process = self._topology.process(self._process.name)
        self.address = self._process.address
        if self._process.http_port is not None:
            logs = self._kernel_servicers().event_logs
            bound = listen(
                self._process.host, self._process.http_port, setting="AURA_HTTP_PORT", by_topology=by_topology
            )
            application = http_application(
                settings=self._settings,
                specs=self._specs,
                services=self._described_services(),
                channel=self._in_process.channel(auth_context=lambda: {BY_GATEWAY: ()}),
                metrics=lambda: self._metrics.render(logs),
                is_ready=self._health.is_serving,
            )
            tls = self._topology.tls.of(self._process.name) if self._topology.tls else None
            self._http = HttpServer(bound, application, http_limits(self._settings), tls)
            scheme = "https" if tls else "http"
            self.http_address = f"{scheme}://{self.address.rpartition(':')[0]}:{self._http.port}"
