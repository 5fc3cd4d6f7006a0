"""The service registry: a module asks it for stubs, and gets those that its specification declares."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import grpc

from aura.kernel.channel import ModuleChannel
from aura.kernel.errors import PermissionDenied
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.call import current_call
from aura.kernel.interceptors.identity import CALLER_MODULE, CALLER_USER
from aura.kernel.module import ModuleSpec
from aura.kernel.security.actor import LOCAL_ACTOR_ID

Stub = TypeVar("Stub")


class UndeclaredDependency(PermissionDenied):
    """A module asked for a service of a module that it does not declare as a dependency."""

    def __init__(self, *, module: str, dependency: str) -> None:
        super().__init__(
            f"module {module} may not call {dependency}: add it to the dependencies of {module} in aura/modules.py"
        )


@dataclass(frozen=True, kw_only=True)
class ServiceOwner:
    """Says which module a service belongs to."""

    module: str
    service: str


class ServiceRegistry:
    """Knows every service of the platform, and the way to each."""

    def __init__(self, *, specs: Mapping[str, ModuleSpec], server: InProcessServer) -> None:
        self._specs = specs
        self._server = server
        self._channels: dict[str, ModuleChannel] = {}

    def for_module(self, module: str) -> ModuleServices:
        """Returns the services as one module may use them."""
        return ModuleServices(registry=self, module=module)

    def channel(self, *, caller: str, dependency: str) -> grpc.aio.Channel:
        """Returns the channel on which `caller` reaches `dependency`.

        Raises:
            UndeclaredDependency: The caller's specification does not name the dependency.
        """
        if dependency not in self._specs[caller].dependencies:
            raise UndeclaredDependency(module=caller, dependency=dependency)
        if caller not in self._channels:
            self._channels[caller] = ModuleChannel(self._server.channel(auth_context=_identity_of(caller)))
        return self._channels[caller]

    async def close(self) -> None:
        """Closes all channels."""
        for channel in self._channels.values():
            await channel.close()


class ModuleServices:
    """The services of other modules, as far as one module declares that it uses them."""

    def __init__(self, *, registry: ServiceRegistry, module: str) -> None:
        self._registry = registry
        self._module = module

    def stub(self, stub_class: Callable[[grpc.aio.Channel], Stub]) -> Stub:
        """Returns a stub of a generated class, as `UserServiceStub`.

        Raises:
            UndeclaredDependency: The service belongs to a module that is no declared dependency.
        """
        owner = owner_of_generated(stub_class, "Stub")
        return stub_class(self._registry.channel(caller=self._module, dependency=owner.module))


def owner_of_generated(generated_class: object, suffix: str) -> ServiceOwner:
    """Returns which service a generated class, as `UserServiceStub`, is of: its package is `aura.<module>.v1`."""
    package = generated_class.__module__.removeprefix("generated.").rpartition(".")[0]
    name = getattr(generated_class, "__name__", "").removesuffix(suffix)
    return ServiceOwner(module=package.split(".")[1], service=f"{package}.{name}")


def generated_servicer(servicer_class: type[object]) -> type[object]:
    """Returns the generated class that a servicer implements."""
    for base in servicer_class.__mro__:
        if base.__module__.endswith("_pb2_grpc") and base.__name__.endswith("Servicer"):
            return base
    raise TypeError(f"{servicer_class.__qualname__} implements no generated Servicer; derive it from one")


def add_to_server(servicer_class: type[object], servicer: object, servers: Iterable[object]) -> None:
    """Adds a servicer to servers by the generated function that belongs to its class."""
    base = generated_servicer(servicer_class)
    add = getattr(sys.modules[base.__module__], f"add_{base.__name__}_to_server")
    for server in servers:
        add(servicer, server)


def _identity_of(caller: str) -> Callable[[], Mapping[str, Iterable[bytes]]]:
    """Returns what says, at each call, which module and which user make it."""

    def identity() -> Mapping[str, Iterable[bytes]]:
        call = current_call.get()
        user = call.actor.user_id if call else LOCAL_ACTOR_ID
        return {CALLER_MODULE: (caller.encode(),), CALLER_USER: (user.encode(),)}

    return identity
