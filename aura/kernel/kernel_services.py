"""The services that the platform itself provides, in every process: modules, events and the audit trail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import grpc

from aura.kernel import audit_service, module_service
from aura.kernel.audit_log import AuditLog
from aura.kernel.audit_service import AuditServicer
from aura.kernel.events import admin_service as event_admin_service
from aura.kernel.events.admin_service import EventAdminServicer
from aura.kernel.events.log import EventLog
from aura.kernel.events.subscriber_service import HostedSubscriber, SubscriberServicer
from aura.kernel.health import PlatformHealth
from aura.kernel.hosted_module import HostedModule
from aura.kernel.module import ModuleSpec
from aura.kernel.module_service import ModuleServicer
from aura.kernel.pagination import PageTokens
from aura.kernel.peers import Peers
from aura.kernel.registry import ServiceRegistry, add_to_server
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.topology import Topology
from generated.aura.audit.v1.audit_service_pb2_grpc import AuditServiceStub
from generated.aura.events.v1.event_admin_service_pb2_grpc import EventAdminServiceStub

FROM_OUTSIDE = (module_service.SERVICE, event_admin_service.SERVICE, audit_service.SERVICE)
"""Those that can be called from outside."""


@dataclass(frozen=True, kw_only=True)
class KernelServicers:
    """Makes the servicers of one process; they ask those of the others for what is there."""

    specs: Mapping[str, ModuleSpec]
    topology: Topology
    process: str
    modules: Mapping[str, HostedModule]
    health: PlatformHealth
    registry: ServiceRegistry
    identities: InternalIdentities
    page_tokens: PageTokens

    def add_to(self, servers: Iterable[object]) -> None:
        """Adds all of them to servers."""
        for servicer in (self._modules(), self._subscribers(), self._events(), self._audit()):
            add_to_server(type(servicer), servicer, servers)

    @property
    def event_logs(self) -> list[EventLog]:
        """What is known of the events of the modules here."""
        return [EventLog(module=name, database=module.database) for name, module in self.modules.items()]

    def _modules(self) -> ModuleServicer:
        return ModuleServicer(specs=self.specs, topology=self.topology, health=self.health)

    def _subscribers(self) -> SubscriberServicer:
        subscribers = {
            name: HostedSubscriber(container=module.container, database=module.database, bus=module.bus)
            for name, module in self.modules.items()
        }
        publishers = {event: name for name, spec in self.specs.items() for event in spec.publishes}
        return SubscriberServicer(modules=subscribers, publishers=publishers)

    def _events(self) -> EventAdminServicer:
        return EventAdminServicer(
            logs=self.event_logs,
            relays={name: module.relay for name, module in self.modules.items()},
            peers=self._peers(event_admin_service.SERVICE, EventAdminServiceStub),
        )

    def _audit(self) -> AuditServicer:
        return AuditServicer(
            logs={name: AuditLog(module=name, database=module.database) for name, module in self.modules.items()},
            modules=self.specs,
            topology=self.topology,
            process=self.process,
            peers=self._peers(audit_service.SERVICE, AuditServiceStub),
            page_tokens=self.page_tokens,
        )

    def _peers(self, service: str, stub_class: Callable[[grpc.aio.Channel], object]) -> Peers:
        others = [each for each in self.topology.processes.values() if each.name != self.process]
        return Peers(
            service=service,
            stub_class=stub_class,
            registry=self.registry,
            identities=self.identities,
            processes=[process for process in others if process.modules],
        )
