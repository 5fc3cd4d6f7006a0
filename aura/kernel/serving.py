"""The life of a server process: set up, serve, drain, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

import asyncpg
import structlog
import uvloop
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from aura.kernel.database import Database, async_url, public_part, sqlstate_of
from aura.kernel.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
from aura.kernel.events.subscriptions import subscriptions_of
from aura.kernel.host import Host
from aura.kernel.listening import AddressInUse, AddressNotHere, allow_many_connections, require_free
from aura.kernel.logging import configure_logging
from aura.kernel.memory import give_back_freed_memory, keep_what_is_there
from aura.kernel.migrations import MIGRATIONS, MigrationError, Migrator
from aura.kernel.module import ModuleSpec, ModuleSpecError, package_of
from aura.kernel.security.keys import KeyRing, SecretKeyError, read_secret_key
from aura.kernel.settings import Environment, Settings, SettingsError
from aura.kernel.start_report import start_report
from aura.kernel.tls import TlsError
from aura.kernel.topology import SINGLE_PROCESS, Process, Topology, TopologyError, read_topology

DATABASE_NAME = "aura"
INVALID_AUTHORIZATION = "28"
CONNECTING_STATES = ("08", INVALID_AUTHORIZATION, "3D", "53300", "57P")
"""Beginnings of the SQLSTATEs that a server gives when it does not let a client in."""

log = structlog.get_logger()


class DatabaseUnreachable(Exception):
    """Says in one line that the database does not answer, and what to do."""


class ForeignModuleImported(Exception):
    """A process imported the package of a module that it does not host."""

    def __init__(self, package: str, process: str) -> None:
        super().__init__(
            f"process {process} imports {package}, which it does not host: modules may only be reached through their "
            "contracts; find the import with: python -X importtime server.py"
        )


EXPECTED_ERRORS = (
    AddressInUse,
    AddressNotHere,
    DatabaseUnreachable,
    EmbeddedPostgresError,
    ForeignModuleImported,
    MigrationError,
    ModuleSpecError,
    SecretKeyError,
    SettingsError,
    TlsError,
    TopologyError,
)
"""Errors whose text tells an operator all there is to know; they are shown without a traceback."""


@dataclass(frozen=True, kw_only=True)
class Databases:
    """Where the database is: for the modules' roles, and for migrating."""

    url: URL
    admin_url: URL
    embedded: EmbeddedPostgres | None = None

    def revive(self) -> None:
        """Starts the embedded database again if it has ended; any other is not ours to start."""
        if self.embedded is not None:
            self.embedded.revive()

    @property
    def description(self) -> str:
        """The database as an operator may read it, without its password."""
        where = public_part(self.url)
        return f"embedded PostgreSQL, {where}" if self.embedded else where


def run_server(
    settings: Settings, specs: Mapping[str, ModuleSpec], *, migrations: Path = MIGRATIONS, until_eof: bool = False
) -> None:
    """Serves until told to stop by SIGTERM or SIGINT, or by the end of standard input if `until_eof` holds.

    Raises:
        Exception: One of EXPECTED_ERRORS if the server cannot start.
    """
    topology = topology_of(settings, specs)
    process = topology.process(settings.process)
    set_up_logging(settings, process.name)
    by_topology = settings.topology_file is not None
    if topology.tls is not None:
        topology.tls.of(process.name).checked()
    require_free(process.host, process.port, by_topology=by_topology)
    if process.http_port is not None:
        require_free(process.host, process.http_port, setting="AURA_HTTP_PORT", by_topology=by_topology)
    give_back_freed_memory()
    allow_many_connections()
    keys = read_secret_key(settings.secret_key_path, create=not settings.in_production)
    with _database_for(process, topology, settings, keys) as databases:
        server = Server(
            settings=settings,
            specs=specs,
            topology=topology,
            process=process,
            keys=keys,
            databases=databases,
            migrations=migrations,
        )
        uvloop.run(server.run(until_eof=until_eof))


def topology_of(settings: Settings, specs: Mapping[str, ModuleSpec]) -> Topology:
    """Returns the topology that the settings name; by default, everything in one process.

    Raises:
        TopologyError: The file is wrong.
    """
    if settings.topology_file is None:
        return Topology.single(
            specs, host=settings.host, port=settings.port, http_port=settings.http_port, tls=settings.tls
        )
    return read_topology(settings.topology_file, specs, allow_plaintext=settings.allow_plaintext)


@contextmanager
def _database_for(process: Process, topology: Topology, settings: Settings, keys: KeyRing) -> Iterator[Databases]:
    if not process.modules:
        yield Databases(url=URL.create("postgresql+asyncpg"), admin_url=URL.create("postgresql+asyncpg"))
        return
    if settings.database_url is None and len(topology.processes) > 1:
        raise SettingsError(
            "the processes of a topology need one database between them: set AURA_DATABASE_URL, or start them all: "
            f"aura run --topology {settings.topology_file}"
        )
    with database_of(settings, keys) as databases:
        yield databases


@contextmanager
def migrator_of(settings: Settings, modules: Sequence[str], specs: Mapping[str, ModuleSpec]) -> Iterator[Migrator]:
    """Lends a migrator of the database that the settings name.

    Raises:
        Exception: One of EXPECTED_ERRORS if the database cannot be used.
    """
    set_up_logging(settings)
    keys = read_secret_key(settings.secret_key_path, create=not settings.in_production)
    with database_of(settings, keys) as databases, reaching(databases.admin_url):
        yield Migrator(url=databases.admin_url, keys=keys, modules=modules, subscriptions=subscriptions_of(specs))


def set_up_logging(settings: Settings, process: str = SINGLE_PROCESS) -> None:
    """Configures logging as the settings say; every line names the process."""
    in_development = settings.environment is Environment.DEVELOPMENT
    automatic = "console" if in_development else "json"
    style = automatic if settings.log_format == "auto" else settings.log_format
    configure_logging(level=settings.log_level, style="console" if style == "console" else "json", process=process)


@contextmanager
def database_of(settings: Settings, keys: KeyRing) -> Iterator[Databases]:
    """Lends the database that the settings name; if they name none, an embedded one that runs as long as this."""
    if settings.database_url is not None:
        url = async_url(settings.database_url.get_secret_value())
        admin = settings.database_admin_url
        yield Databases(url=url, admin_url=async_url(admin.get_secret_value()) if admin else url)
        return
    with EmbeddedPostgres(settings.data_dir / "postgres", password=keys.password("embedded-postgres")) as postgres:
        asyncio.run(_create_database(async_url(postgres.url())))
        url = async_url(postgres.url(DATABASE_NAME))
        yield Databases(url=url, admin_url=url, embedded=postgres)


@dataclass(frozen=True, kw_only=True)
class Server:
    """One process of the platform, from its start to its end."""

    settings: Settings
    specs: Mapping[str, ModuleSpec]
    topology: Topology
    process: Process
    keys: KeyRing
    databases: Databases
    migrations: Path

    async def run(self, *, until_eof: bool) -> None:
        """Serves until it is told to stop, then drains."""
        stopping = StopSignals()
        with stopping.installed(until_eof=until_eof):
            if self.process.modules:
                await prepare_database(
                    self.settings,
                    self.specs,
                    self.keys,
                    self.databases,
                    modules=self.process.modules,
                    migrations=self.migrations,
                )
            host = self._host()
            try:
                self._require_isolation()
                await host.start()
                keep_what_is_there()
                database = self.databases.description
                sys.stderr.write(
                    start_report(host.process, self.topology, self.specs, database=database, http=host.http_address)
                )
                await stopping.first.wait()
                log.info("stopping", drain_seconds=self.settings.drain_seconds)
            finally:
                await _stop(host, self.settings.drain_seconds, stopping)
            log.info("stopped")

    def _host(self) -> Host:
        return Host(
            settings=self.settings,
            specs=self.specs,
            topology=self.topology,
            process=self.process.name,
            database_url=self.databases.url,
            keys=self.keys,
            revive_database=self.databases.revive,
        )

    def _require_isolation(self) -> None:
        """Sees that this process could run without the code of the modules that it does not host."""
        for name, spec in self.specs.items():
            if name not in self.process.modules and package_of(spec) in sys.modules:
                raise ForeignModuleImported(package_of(spec), self.process.name)


async def _stop(host: Host, grace: float, stopping: StopSignals) -> None:
    """Drains the host; a second signal ends the drain at once."""
    drain = asyncio.create_task(host.stop(grace))
    hurry = asyncio.create_task(stopping.second.wait())
    await asyncio.wait([drain, hurry], return_when=asyncio.FIRST_COMPLETED)
    if not drain.done():
        log.warning("stopping at once")
        await host.stop(0)
    hurry.cancel()
    await drain


class StopSignals:
    """Counts SIGTERM and SIGINT: the first asks for a graceful stop, the second for an immediate one."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    @contextmanager
    def installed(self, *, until_eof: bool = False) -> Iterator[None]:
        """Takes the signals while inside, and the end of standard input for one if `until_eof` holds."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._receive)
        if until_eof:
            loop.add_reader(sys.stdin.fileno(), self._read_input)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            if until_eof:
                loop.remove_reader(sys.stdin.fileno())

    def _read_input(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._receive()

    def _receive(self) -> None:
        if self.first.is_set():
            self.second.set()
        self.first.set()


async def prepare_database(
    settings: Settings,
    specs: Mapping[str, ModuleSpec],
    keys: KeyRing,
    databases: Databases,
    *,
    modules: Sequence[str],
    migrations: Path = MIGRATIONS,
) -> None:
    """Sees that the schemas of `modules` are what the code expects: migrates, but in production refuses.

    Raises:
        DatabaseUnreachable: The database does not answer.
        MigrationError: In production, a schema is behind.
    """
    with reaching(databases.url):
        migrator = Migrator(
            url=databases.admin_url,
            keys=keys,
            modules=modules,
            subscriptions=subscriptions_of(specs),
            folder=migrations,
        )
        behind = [module for module in modules if await is_behind(module, migrator, keys, databases)]
    if behind and settings.in_production:
        raise MigrationError(
            f"the schema of {', '.join(behind)} is behind this version; run, with the same settings: aura migrate"
        )
    if behind:
        with reaching(databases.admin_url):
            await migrator.upgrade()


async def is_behind(module: str, migrator: Migrator, keys: KeyRing, databases: Databases) -> bool:
    """Returns whether a module cannot use its schema as it is, be it for want of a role or of a revision."""
    database = Database(url=databases.url, module=module, keys=keys)
    try:
        async with database.read() as connection:
            return await migrator.behind(connection, module)
    except Exception as error:
        if sqlstate_of(error).startswith(INVALID_AUTHORIZATION):  # the role is missing, or has another key's password
            return True
        raise
    finally:
        await database.close()


@contextmanager
def reaching(url: URL) -> Iterator[None]:
    """Turns the many ways in which a database cannot be connected to into one line each."""
    unknown = ", ".join(set(url.query) - set(signature(asyncpg.connect).parameters))
    if unknown:
        raise DatabaseUnreachable(f"AURA_DATABASE_URL has options that are not known here: {unknown}; leave them out")
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, DBAPIError) as error:
        state = sqlstate_of(error)
        if state and not state.startswith(CONNECTING_STATES):  # a fault of ours, not of the connection
            raise
        cause = (error.orig.__cause__ or error.orig) if isinstance(error, DBAPIError) and error.orig else error
        raise DatabaseUnreachable(
            f"cannot use the database at {public_part(url)}: {str(cause) or 'it does not answer'}; see that it runs, "
            "and that AURA_DATABASE_URL is right"
        ) from error


async def _create_database(url: URL) -> None:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            known = await connection.execute(
                text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": DATABASE_NAME}
            )
            if known.scalar() is None:
                await connection.exec_driver_sql(f"CREATE DATABASE {DATABASE_NAME}")
    finally:
        await engine.dispose()
