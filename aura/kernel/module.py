"""What a module is: its specification, which is data, and its one door, which is code."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dishka import Provider

    from aura.kernel.events.bus import EventBus

Architecture = Literal["layered", "clean", "hexagonal", "cqrs"]


class ModuleSpecError(Exception):
    """Lists what is wrong with the module configuration, one line each, with the fix."""


@dataclass(frozen=True, kw_only=True)
class ModuleSpec:
    """Describes a module without importing it.

    Attributes:
        name: The name for people.
        description: What the module is for.
        api_prefix: The first segment of its REST paths, after `/api/`.
        api_module: The Python module of its servicers.
        services_module: The Python module of what it does for others.
        architecture: How it is built inside.
        boundaries: Its layers, outermost last, and the Python package of each.
        dependencies: The modules that it calls.
        provides: The services of its contract, by their short names.
        publishes: The types of the events it publishes.
        subscribes: The types of the events it handles; these are not dependencies.
        subscribes_from_retained: Those of them of which a new subscription also gets the events of the past, as far as
            their publisher still keeps them.
        access_service: The service by which it tells the platform what callers are, if it is the module that knows: one
            with the methods ListVerificationKeys and GetAccess.
        entry: Its door, as `package.module:Class`.
    """

    name: str
    description: str
    api_prefix: str
    api_module: str
    services_module: str
    architecture: Architecture
    boundaries: Mapping[str, str]
    entry: str
    dependencies: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    access_service: str = ""
    publishes: tuple[str, ...] = ()
    subscribes: tuple[str, ...] = ()
    subscribes_from_retained: tuple[str, ...] = ()


class ServiceRegistrar(Protocol):
    """Takes the servicers that a module hosts."""

    def register(self, servicer_class: type[object]) -> None:
        """Hosts a servicer: a subclass of one generated `…Servicer`, made anew for each call by the container."""
        ...


class Module(Protocol):
    """A module's one door; each `module.py` has one, made without arguments."""

    def providers(self) -> Sequence[Provider]:
        """Returns the providers of everything the module's servicers need."""
        ...

    def register_services(self, registrar: ServiceRegistrar) -> None:
        """Registers a servicer for each service that the module's specification provides."""
        ...

    def subscribe_to_events(self, event_bus: EventBus) -> None:
        """Subscribes to each type of event that the module's specification names."""
        ...


class Task(Protocol):
    """Something that a module has the platform do; made by the module's container, anew each time.

    A module whose door has a method `startup` that returns one gets it done when the module begins to be served; one
    whose door has `housekeeping`, every ten minutes.
    """

    async def run(self) -> None:
        """Does it."""
        ...


def load_module(spec: ModuleSpec) -> Module:
    """Imports a module's package and returns its door."""
    package, _, class_name = spec.entry.partition(":")
    return cast("Module", getattr(importlib.import_module(package), class_name)())


def package_of(spec: ModuleSpec) -> str:
    """Returns the Python package that a module is, as `aura.users`."""
    return spec.entry.partition(":")[0].rpartition(".")[0]


def validate_specs(specs: Mapping[str, ModuleSpec]) -> None:
    """Checks what can be known without importing a module.

    Raises:
        ModuleSpecError: A dependency is unknown or cyclic, two modules share a prefix, or an event has no publisher.
    """
    problems = [*_unknown_dependencies(specs), *_cycles(specs), *_shared_prefixes(specs), *_unpublished(specs)]
    if problems:
        raise ModuleSpecError("\n".join(problems))


def validate_services(name: str, spec: ModuleSpec, registered: Iterable[str], missing: Iterable[str] = ()) -> None:
    """Checks that a module registered exactly the services that it says it provides, and that no method is missing.

    Raises:
        ModuleSpecError: A provided service has no servicer, a registered one is not provided, or lacks a method.
    """
    provided, hosted = set(spec.provides), set(registered)
    problems = [
        f"module {name} provides {service} but registers no servicer for it; register one in register_services, "
        "or take it out of `provides` in aura/modules.py"
        for service in sorted(provided - hosted)
    ]
    problems += [
        f"module {name} registers {service} but does not provide it; add it to `provides` in aura/modules.py"
        for service in sorted(hosted - provided)
    ]
    problems += [f"module {name} does not implement {method} of its contract; write it" for method in missing]
    if problems:
        raise ModuleSpecError("\n".join(problems))


def validate_events(name: str, spec: ModuleSpec, *, declared: Iterable[str], subscribed: Iterable[str]) -> None:
    """Checks that a module publishes what its contract declares, and subscribes to what its specification names.

    Raises:
        ModuleSpecError: One of the two says more than the other.
    """
    declared, subscribed = set(declared), set(subscribed)
    problems = [
        f"module {name} publishes {event}, which its events.proto does not declare; declare it, or take it out of "
        "`publishes` in aura/modules.py"
        for event in sorted(set(spec.publishes) - declared)
    ]
    problems += [
        f"module {name} declares {event} in its events.proto but does not publish it; add it to `publishes` in "
        "aura/modules.py"
        for event in sorted(declared - set(spec.publishes))
    ]
    problems += [
        f"module {name} subscribes to {event} but has no subscriber for it; subscribe one in subscribe_to_events, or "
        "take it out of `subscribes` in aura/modules.py"
        for event in sorted(set(spec.subscribes) - subscribed)
    ]
    problems += [
        f"module {name} has a subscriber for {event} but does not subscribe to it; add it to `subscribes` in "
        "aura/modules.py"
        for event in sorted(subscribed - set(spec.subscribes))
    ]
    if problems:
        raise ModuleSpecError("\n".join(problems))


def _unknown_dependencies(specs: Mapping[str, ModuleSpec]) -> list[str]:
    return [
        f"module {name} depends on {dependency}, which is no module; add it to AURA_MODULES, or remove the dependency"
        for name, spec in specs.items()
        for dependency in spec.dependencies
        if dependency not in specs
    ]


def _cycles(specs: Mapping[str, ModuleSpec]) -> list[str]:
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> list[str]:
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :], name))
            return [f"modules depend on each other in a circle: {cycle}; turn one of these calls into an event"]
        if name in finished or name not in specs:
            return []
        found = [line for dependency in specs[name].dependencies for line in visit(dependency, (*path, name))]
        finished.add(name)
        return found

    return [line for name in specs for line in visit(name, ())]


def _shared_prefixes(specs: Mapping[str, ModuleSpec]) -> list[str]:
    owners: dict[str, str] = {}
    return [
        f"modules {owners[spec.api_prefix]} and {name} share the api_prefix {spec.api_prefix}; give each its own"
        for name, spec in specs.items()
        if owners.setdefault(spec.api_prefix, name) != name
    ]


def _unpublished(specs: Mapping[str, ModuleSpec]) -> list[str]:
    published = {event for spec in specs.values() for event in spec.publishes}
    return [
        f"module {name} subscribes to {event}, which no module publishes; add it to the publisher's `publishes`"
        for name, spec in specs.items()
        for event in spec.subscribes
        if event not in published
    ]
