"""The service registry: a module asks it for stubs, and gets those that its specification declares."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import grpc

from aura.kernel.channel import Metadata, ModuleChannel, Translate
from aura.kernel.contracts import load_contract, service_names
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.call import current_call
from aura.kernel.interceptors.dependencies import require_declared
from aura.kernel.interceptors.identity import CALLER_MODULE, CALLER_USER, acting_user
from aura.kernel.module import ModuleSpec
from aura.kernel.remote import RemoteProcess, error_of_call, watch
from aura.kernel.security.actor import KERNEL, LOCAL_ACTOR_ID
from aura.kernel.security.internal_identity import IDENTITY_METADATA, Identity, InternalIdentities
from aura.kernel.topology import Process, Topology

Stub = TypeVar("Stub")


@dataclass(frozen=True, kw_only=True)
class ServiceOwner:
    """Says which module a service belongs to."""

    module: str
    service: str


class ServiceRegistry:
    """Knows every service of the platform, and the way to each."""

    def __init__(
        self,
        *,
        specs: Mapping[str, ModuleSpec],
        topology: Topology,
        process: Process,
        server: InProcessServer,
        identities: InternalIdentities,
        maximum_message_bytes: int,
    ) -> None:
        self._specs = specs
        self._topology = topology
        self._process = process
        self._server = server
        self._identities = identities
        self._maximum_message_bytes = maximum_message_bytes
        self._in_process: dict[str, grpc.aio.Channel] = {}
        self._remotes: dict[tuple[str, bool], RemoteProcess] = {}

    def for_module(self, module: str) -> ModuleServices:
        """Returns the services as one module may use them."""
        return ModuleServices(registry=self, module=module)

    def channel(self, *, caller: str, dependency: str) -> grpc.aio.Channel:
        """Returns the channel on which the module `caller` reaches the module `dependency`.

        Raises:
            UndeclaredDependency: The caller's specification does not name the dependency.
        """
        require_declared(self._specs, module=caller, dependency=dependency)
        return self._channel_to(dependency, caller)

    def event_channel(self, *, publisher: str, subscriber: str) -> grpc.aio.Channel:
        """Returns the channel on which a publisher's events reach the process that hosts a subscriber."""
        return self._channel_to(subscriber, publisher)

    def service_names(self) -> frozenset[str]:
        """Returns the full names of all services that the platform's modules provide."""
        return frozenset(name for module, spec in self._specs.items() for name in service_names(module, spec))

    def kernel_channel(self, module: str) -> grpc.aio.Channel:
        """Returns the channel on which the platform itself reaches a module."""
        return self._channel_to(module, KERNEL)

    def _channel_to(self, dependency: str, caller: str) -> grpc.aio.Channel:
        if dependency in self._process.modules:
            channel = self._in_process.get(caller)
            if channel is None:
                channel = self._in_process[caller] = self._server.channel(auth_context=partial(_identity_of, caller))
            return ModuleChannel(WayInside(channel=channel, module=dependency, process=self._process.name))
        remote = self.remote(self._topology.host_of(dependency))
        return ModuleChannel(WayOutside(remote=remote, caller=caller, module=dependency, identities=self._identities))

    def remote(self, process: Process, *, passing_on: bool = False) -> RemoteProcess:
        """Returns the way to another process; calls wait for it if it is not there yet.

        What is only passed on may be as long as its receiver allows.
        """
        known = (process.name, passing_on)
        if known not in self._remotes:
            services = [name for module in process.modules for name in self._services_of(module)]
            self._remotes[known] = RemoteProcess(
                process,
                services=services,
                tls=self._topology.tls.of(self._process.name) if self._topology.tls else None,
                maximum_message_bytes=-1 if passing_on else self._maximum_message_bytes,
            )
        return self._remotes[known]

    async def close(self) -> None:
        """Closes all channels."""
        await asyncio.gather(
            *(channel.close() for channel in self._in_process.values()),
            *(remote.close() for remote in self._remotes.values()),
        )

    def _services_of(self, module: str) -> list[str]:
        load_contract(module)
        return service_names(module, self._specs[module])


@dataclass(frozen=True, kw_only=True)
class WayInside:
    """The way to a module in this process. Who calls is bound to the channel, where the caller cannot write it."""

    channel: grpc.aio.Channel
    module: str
    process: str

    def metadata(self, method: str) -> Metadata:
        """Returns nothing."""
        del method
        return ()

    def watch(self, call: Any, timeout: float | None) -> Translate:
        """Returns what to make of the call's errors."""
        del call, timeout
        return self._translate

    def _translate(self, error: BaseException) -> BaseException:
        if isinstance(error, grpc.aio.AioRpcError):
            return error_of_call(error, module=self.module, process=self.process)
        return error


@dataclass(frozen=True, kw_only=True)
class WayOutside:
    """The way of one module to another in another process. Each call carries a token that says who calls."""

    remote: RemoteProcess
    caller: str
    module: str
    identities: InternalIdentities

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to the process."""
        return self.remote.channel

    def metadata(self, method: str) -> Metadata:
        """Returns the token."""
        identity = Identity(module=self.caller, user=_acting_user())
        return ((IDENTITY_METADATA, self.identities.seal(identity, method=method, process=self.remote.name)),)

    def watch(self, call: Any, timeout: float | None) -> Translate:
        """Has the call end when it waits in vain; returns what to make of its errors."""
        return watch(self.remote, call, timeout, self.module)


class ModuleServices:
    """The services of other modules, as far as one module declares that it uses them."""

    def __init__(self, *, registry: ServiceRegistry, module: str) -> None:
        self._registry = registry
        self._module = module

    def names(self) -> frozenset[str]:
        """Returns the full names of all services that the platform's modules provide."""
        return self._registry.service_names()

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


def _identity_of(caller: str) -> Mapping[str, Iterable[bytes]]:
    """Returns which module and which user make the call that is being made."""
    return {CALLER_MODULE: (caller.encode(),), CALLER_USER: (_acting_user().encode(),)}


def _acting_user() -> str:
    return acting_user.get() if current_call.get() else LOCAL_ACTOR_ID
