"""Finds out what is wrong with an installation, without serving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from aura.kernel.access_table import require_access_rules
from aura.kernel.embedded_postgres import DataDirectoryInUse
from aura.kernel.events.bus import EventBus
from aura.kernel.events.subscriptions import subscriptions_of
from aura.kernel.events.types import event_types_of
from aura.kernel.migrations import Migrator
from aura.kernel.module import ModuleSpec, load_module, validate_events, validate_services, validate_specs
from aura.kernel.registry import generated_servicer, owner_of_generated
from aura.kernel.security.keys import read_secret_key
from aura.kernel.servicers import missing_methods
from aura.kernel.serving import EXPECTED_ERRORS, database_of, is_behind, reaching, topology_of
from aura.kernel.settings import Settings, SettingsError, read_settings


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, and what is wrong with it: one line each, with the fix; none if all is well."""

    subject: str
    problems: tuple[str, ...]


def diagnose(environment: Mapping[str, str], specs: Mapping[str, ModuleSpec]) -> Iterator[Finding]:
    """Yields a finding for each part: module specifications, contracts, settings, database."""
    yield _finding("module specifications", lambda: validate_specs(specs))
    for name, spec in specs.items():
        yield _finding(f"module {name}", lambda name=name, spec=spec: _check_module(name, spec))  # type: ignore[misc] # bound now
    try:
        settings = read_settings(environment)
    except SettingsError as error:
        yield Finding(subject="settings", problems=tuple(str(error).splitlines()))
        return
    yield Finding(subject="settings", problems=())
    if settings.topology_file is not None:
        yield _finding("topology", lambda: topology_of(settings, specs))
    if settings.tls is not None:
        yield _finding("certificates", settings.tls.checked)
    yield _finding("database", lambda: _check_database(settings, specs))


def _finding(subject: str, check: Callable[[], object]) -> Finding:
    try:
        check()
    except (*EXPECTED_ERRORS, _ContractError) as error:
        return Finding(subject=subject, problems=tuple(str(error).splitlines()))
    except (ImportError, AttributeError, TypeError) as error:
        return Finding(subject=subject, problems=(f"cannot be loaded: {error}",))
    return Finding(subject=subject, problems=())


class _ContractError(Exception):
    """Lists what is wrong with a module's contract."""


class _Registrar:
    def __init__(self) -> None:
        self.services: list[str] = []
        self.missing: list[str] = []

    def register(self, servicer_class: type[object]) -> None:
        self.missing += missing_methods(servicer_class)
        self.services.append(owner_of_generated(generated_servicer(servicer_class), "Servicer").service)


def _check_module(name: str, spec: ModuleSpec) -> None:
    registrar = _Registrar()
    load_module(spec).register_services(registrar)
    validate_services(name, spec, (service.rpartition(".")[2] for service in registrar.services), registrar.missing)
    bus = EventBus()
    load_module(spec).subscribe_to_events(bus)
    validate_events(name, spec, declared=event_types_of(name), subscribed=bus.types)
    require_access_rules(registrar.services)


def _check_database(settings: Settings, specs: Mapping[str, ModuleSpec]) -> None:
    keys = read_secret_key(settings.secret_key_path, create=not settings.in_production)
    try:
        with database_of(settings, keys) as databases, reaching(databases.url):
            migrator = Migrator(
                url=databases.admin_url, keys=keys, modules=list(specs), subscriptions=subscriptions_of(specs)
            )
            behind = [name for name in specs if asyncio.run(is_behind(name, migrator, keys, databases))]
    except DataDirectoryInUse:
        return  # a server runs on it, so it is well
    if behind:
        raise _ContractError(f"the schema of {', '.join(behind)} is behind this version; run: aura migrate")
