"""Dependency injection: one container per module, which knows the kernel's pieces and the module's own."""

from __future__ import annotations

from collections.abc import Sequence

from dishka import Container, Provider, Scope, from_context, make_container, provide

from aura.kernel.account_settings import AccountSettings
from aura.kernel.audit import AuditTrail
from aura.kernel.clock import Clock, SystemClock
from aura.kernel.database import Database
from aura.kernel.events.inbox import Delivery
from aura.kernel.events.outbox import Outbox
from aura.kernel.events.subscriber_service import Mark
from aura.kernel.idempotency import IdempotentRequest, fingerprint_of, idempotency_table
from aura.kernel.interceptors.call import Call
from aura.kernel.module import Module
from aura.kernel.pagination import PageTokens
from aura.kernel.registry import ModuleServices
from aura.kernel.security.access_changes import AccessChanges
from aura.kernel.security.actor import Actor
from aura.kernel.security.keys import KeyRing
from aura.kernel.security.module_secrets import ModuleSecrets
from aura.kernel.unit_of_work import UnitOfWork


class KernelProvider(Provider):
    """What every module may ask for."""

    call = from_context(provides=Call, scope=Scope.REQUEST)

    delivery = from_context(provides=Delivery, scope=Scope.REQUEST)

    def __init__(
        self,
        *,
        name: str,
        database: Database,
        keys: KeyRing,
        services: ModuleServices,
        outbox: Outbox,
        account_settings: AccountSettings,
        access_changes: AccessChanges,
    ) -> None:
        super().__init__()
        self._module = name
        self._account_settings = account_settings
        self._access_changes = access_changes
        self._outbox = outbox
        self._database = database
        self._keys = keys
        self._services = services
        self._idempotency = idempotency_table(name)

    @provide(scope=Scope.APP)
    def clock(self) -> Clock:
        """The machine's clock."""
        return SystemClock()

    @provide(scope=Scope.APP)
    def database(self) -> Database:
        """The module's way to its own schema."""
        return self._database

    @provide(scope=Scope.APP)
    def page_tokens(self) -> PageTokens:
        """The seal of page tokens."""
        return PageTokens(self._keys)

    @provide(scope=Scope.APP)
    def services(self) -> ModuleServices:
        """The services of the module's declared dependencies."""
        return self._services

    @provide(scope=Scope.APP)
    def outbox(self) -> Outbox:
        """The module's way to publish events."""
        return self._outbox

    @provide(scope=Scope.APP)
    def audit_trail(self) -> AuditTrail:
        """The module's audit trail."""
        return AuditTrail(module=self._module, database=self._database)

    @provide(scope=Scope.APP)
    def secrets(self) -> ModuleSecrets:
        """The module's secrets."""
        return ModuleSecrets(self._keys, module=self._module)

    @provide(scope=Scope.APP)
    def account_settings(self) -> AccountSettings:
        """What the operator chose about accounts."""
        return self._account_settings

    @provide(scope=Scope.APP)
    def access_changes(self) -> AccessChanges:
        """What tells all processes that somebody's rights have changed."""
        return self._access_changes

    @provide(scope=Scope.REQUEST)
    def actor(self, call: Call) -> Actor:
        """Who makes this call."""
        return call.actor

    @provide(scope=Scope.REQUEST)
    def idempotent_request(self, call: Call) -> IdempotentRequest:
        """This request, as it is remembered if it has a `request_id`."""
        request_id: str = getattr(call.request, "request_id", "")
        return IdempotentRequest(
            table=self._idempotency,
            actor=call.actor.user_id,
            method=call.method.path,
            request_id=request_id,
            fingerprint=fingerprint_of(call.request) if request_id and call.request else b"",
        )

    unit_of_work = provide(UnitOfWork, scope=Scope.REQUEST)
    mark = provide(Mark, scope=Scope.REQUEST)


def module_container(module: Module, kernel: Provider, overrides: Sequence[Provider] = ()) -> Container:
    """Returns a module's container. Later providers take the place of earlier ones, so tests may override any.

    It makes things, and nothing that it makes has to wait: what connects does so when it is used.
    """
    return make_container(kernel, *module.providers(), *overrides)
