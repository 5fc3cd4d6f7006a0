"""The users module's one door."""

from __future__ import annotations

from collections.abc import Sequence

from dishka import Provider, Scope, provide

from aura.kernel.database import Database
from aura.kernel.events.bus import EventBus
from aura.kernel.module import ServiceRegistrar
from aura.users.api.servicers import UserServicer
from aura.users.repositories import UserRepository, UsersUnitOfWork
from aura.users.services import UserService


class UsersProvider(Provider):
    """How the module's pieces are made."""

    scope = Scope.REQUEST

    @provide(scope=Scope.APP)
    def users(self, database: Database) -> UserRepository:
        """The users, each read a transaction of its own."""
        return UserRepository(database.execute)

    unit_of_work = provide(UsersUnitOfWork)
    service = provide(UserService)
    servicer = provide(UserServicer)


class UsersModule:
    """Keeps the people of the platform."""

    def providers(self) -> Sequence[Provider]:
        """Returns the providers of everything the servicers need."""
        return (UsersProvider(),)

    def register_services(self, registrar: ServiceRegistrar) -> None:
        """Registers the module's servicers."""
        registrar.register(UserServicer)

    def subscribe_to_events(self, event_bus: EventBus) -> None:
        """Subscribes to nothing."""
