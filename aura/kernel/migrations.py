"""Brings the database up to what the code expects: roles, schemas, and one Alembic history per module."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import alembic.command
import alembic.context
import structlog
from alembic import op
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Text, column, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from aura.kernel.audit import audit_table
from aura.kernel.database import owner_of, role_of, role_password
from aura.kernel.events.subscriptions import Subscription, obsolete_subscriptions, sync_subscriptions
from aura.kernel.events.tables import event_tables
from aura.kernel.idempotency import idempotency_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from aura.kernel.security.keys import KeyRing

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
HEAD, BASE = "head", "base"
ADVISORY_LOCK = 0x41757261  # "Aura"
SCRAM_ITERATIONS = 4096

log = structlog.get_logger()


class MigrationError(Exception):
    """Says in one line why the database cannot be used as it is, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One revision to apply, or to take back."""

    module: str
    revision: str
    description: str
    up: bool


OnStep = Callable[[Step], None]


class Migrator:
    """Migrates the schemas of some modules, by a connection that may create roles and schemas."""

    def __init__(
        self,
        *,
        url: URL,
        keys: KeyRing,
        modules: Sequence[str],
        subscriptions: Mapping[str, Sequence[Subscription]] = MappingProxyType({}),
        folder: Path = MIGRATIONS,
    ) -> None:
        self._subscriptions = subscriptions
        self._url = url
        self._keys = keys
        self._modules = tuple(modules)
        self._folder = folder

    async def upgrade(self) -> None:
        """Migrates every module to its newest revision."""
        await self.move_to(HEAD)

    async def move_to(self, revision: str, on_step: OnStep | None = None) -> None:
        """Migrates every module up or down to a revision, and tells of each step; waits while another process migrates.

        Each module is migrated in one transaction: a crash leaves it as it was.

        Raises:
            MigrationError: A module has no such revision, or the user may not create roles.
        """
        async with self._connected() as engine, engine.connect() as lock:
            await lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
            await self._close_to_others(engine)
            for module in self._modules:
                async with engine.begin() as connection:
                    await self._migrate_module(connection, module, self._resolved(module, revision), on_step)

    async def plan(self, revision: str = HEAD) -> list[Step]:
        """Returns what `move_to` would do, in order."""
        async with self._connected() as engine, engine.connect() as connection:
            return [
                Step(module=module, revision=script.revision, description=script.doc, up=up)
                for module in self._modules
                for script, up in self._scripts(module, await self._revision_of(connection, module), revision)
            ]

    async def _revision_of(self, connection: AsyncConnection, module: str) -> str | None:
        """Returns the revision that a module is at, read as the owner of its schema if there is one."""
        if not await _role_exists(connection, owner_of(module)):
            return None
        await _execute(connection, f"SET ROLE {owner_of(module)}")
        revision = await applied_revision(connection, module)
        await _execute(connection, "RESET ROLE")
        return revision

    async def behind(self, connection: AsyncConnection, module: str) -> bool:
        """Returns whether a module's schema is not as the code expects it, as its own role sees it.

        It may lack revisions, or the subscriptions to its events may be others.
        """
        if await applied_revision(connection, module) != self.head(module):
            return True
        return module in self._subscriptions and await obsolete_subscriptions(
            connection, module, self._subscriptions[module]
        )

    def head(self, module: str) -> str | None:
        """Returns the newest revision that the code knows."""
        return self._directory(module).get_current_head()

    async def _close_to_others(self, engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            database = connection.dialect.identifier_preparer.quote(self._url.database or "postgres")
            await _execute(connection, f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
            await _execute(connection, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
            for module in self._modules:
                await self._create_roles(connection, module)
                await _execute(connection, f"GRANT CONNECT ON DATABASE {database} TO {role_of(module)}")
                await _execute(connection, f"GRANT CREATE ON DATABASE {database} TO {owner_of(module)}")

    async def _create_roles(self, connection: AsyncConnection, module: str) -> None:
        role, owner = role_of(module), owner_of(module)
        verifier = scram_verifier(role_password(self._keys, module))
        await _create_role(connection, owner, "NOLOGIN")
        await _create_role(connection, role, "LOGIN")
        await _execute(connection, f"ALTER ROLE {role} WITH LOGIN PASSWORD '{verifier}'")
        await _execute(connection, f"GRANT {owner} TO CURRENT_USER WITH SET TRUE, INHERIT FALSE")

    async def _migrate_module(
        self, connection: AsyncConnection, module: str, revision: str | None, on_step: OnStep | None
    ) -> None:
        await _execute(connection, f"SET LOCAL ROLE {owner_of(module)}")
        before = await applied_revision(connection, module)
        await _execute(connection, f"CREATE SCHEMA IF NOT EXISTS {module}")
        await _execute(connection, f"SET LOCAL search_path = {module}")
        await _execute(connection, f"GRANT USAGE ON SCHEMA {module} TO {role_of(module)}")
        await _execute(
            connection,
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {module} "
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role_of(module)}",
        )
        if before != revision:
            config = self._config(module)
            config.attributes["on_step"] = on_step
            await connection.run_sync(self._run_alembic, module, before, revision, config)
            read_only = f"REVOKE INSERT, UPDATE, DELETE ON {module}.alembic_version FROM {role_of(module)}"
            await _execute(connection, read_only)
            log.info("database migrated", module=module, before=before, after=revision)
        if revision == self.head(module) and module in self._subscriptions:
            await sync_subscriptions(connection, module, self._subscriptions[module])

    def _run_alembic(
        self, connection: Connection, module: str, before: str | None, revision: str | None, config: Config
    ) -> None:
        config.attributes["connection"] = connection
        config.attributes["module"] = module
        if self._is_downgrade(module, before, revision):
            alembic.command.downgrade(config, revision or BASE)
        else:
            alembic.command.upgrade(config, revision or HEAD)

    def _resolved(self, module: str, revision: str) -> str | None:
        """Returns the full name of a revision; None for the base, before the first one."""
        if revision == BASE:
            return None
        try:
            return self._directory(module).get_revision(revision).revision
        except (CommandError, RevisionError):
            raise MigrationError(f"module {module} has no revision {revision}; see: aura migrate --plan") from None

    def _scripts(self, module: str, current: str | None, revision: str) -> Iterator[tuple[Script, bool]]:
        target = self._resolved(module, revision)
        directory = self._directory(module)
        if self._is_downgrade(module, current, target):
            for script in directory.iterate_revisions(current or BASE, target or BASE):
                yield script, False
        elif current != target:
            for script in reversed(list(directory.iterate_revisions(target or BASE, current or BASE))):
                yield script, True

    def _is_downgrade(self, module: str, current: str | None, target: str | None) -> bool:
        if current is None or current == target:
            return False
        below = self._directory(module).iterate_revisions(current, BASE)
        return target is None or target in {script.revision for script in below}

    def _directory(self, module: str) -> ScriptDirectory:
        return ScriptDirectory.from_config(self._config(module))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncEngine]:
        engine = create_async_engine(self._url, poolclass=NullPool, hide_parameters=True)
        try:
            yield engine
        finally:
            await engine.dispose()

    def _config(self, module: str) -> Config:
        config = Config()
        config.set_main_option("script_location", str(self._folder / module))
        config.set_main_option("path_separator", "os")
        return config


async def applied_revision(connection: AsyncConnection, module: str) -> str | None:
    """Returns the revision that a module's schema is at; None if there is no such schema."""
    if (await connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{module}.alembic_version"})).scalar():
        version = table("alembic_version", column("version_num", Text), schema=module)
        return (await connection.execute(select(version.c.version_num))).scalar()
    return None


def run_migrations() -> None:
    """Runs the revisions of the module that is being migrated; each `env.py` calls this and nothing else."""
    attributes = alembic.context.config.attributes
    module, on_step = attributes["module"], attributes["on_step"]

    def report(ctx: Any, step: Any, heads: Any, run_args: Any) -> None:  # noqa: ARG001 alembic passes them by name
        if on_step is not None:
            script = step.up_revision
            on_step(Step(module=module, revision=script.revision, description=script.doc, up=step.is_upgrade))

    alembic.context.configure(connection=attributes["connection"], version_table_schema=module, on_version_apply=report)
    with alembic.context.begin_transaction():
        alembic.context.run_migrations()


def create_idempotency_table(module: str) -> None:
    """Creates a module's table of remembered requests; for use in a revision."""
    requests = idempotency_table(module)
    op.execute(CreateTable(requests))
    for index in requests.indexes:
        index.create(op.get_bind())


def create_event_tables(module: str) -> None:
    """Creates the tables that carry a module's events; for use in a revision."""
    for each in event_tables(module).all:
        op.execute(CreateTable(each))
        for index in each.indexes:
            index.create(op.get_bind())


def drop_event_tables(module: str) -> None:
    """Drops what `create_event_tables` made; for use in a revision."""
    for each in event_tables(module).all:
        op.drop_table(each.name, schema=module)


def create_audit_table(module: str) -> None:
    """Creates a module's audit trail, append-only; for use in a revision."""
    table = audit_table(module)
    op.execute(CreateTable(table))
    create_audit_indexes(module)
    make_append_only(module, table.name)


def create_audit_indexes(module: str) -> None:
    """Creates those indexes of a module's audit trail that are not there yet; for use in a revision."""
    for index in audit_table(module).indexes:
        index.create(op.get_bind(), checkfirst=True)


def make_append_only(module: str, table_name: str) -> None:
    """Leaves a module only INSERT and SELECT on one of its tables; for use in a revision."""
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {module}.{table_name} FROM {role_of(module)}")


def scram_verifier(password: str) -> str:
    """Returns what PostgreSQL stores of a password (RFC 5803), so that the password itself never gets into its log."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded_salt, encoded_stored, encoded_server = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded_salt}${encoded_stored}:{encoded_server}"


async def _role_exists(connection: AsyncConnection, role: str) -> bool:
    known = await connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return known.scalar() is not None


async def _create_role(connection: AsyncConnection, role: str, login: str) -> None:
    if not await _role_exists(connection, role):
        try:
            async with connection.begin_nested():
                await _execute(connection, f"CREATE ROLE {role} WITH {login} NOINHERIT")
        except DBAPIError as error:
            raise MigrationError(
                f"the migrating user cannot create the role {role}: give it CREATEROLE, or set AURA_DATABASE_ADMIN_URL "
                "to the connection of a user that has it"
            ) from error


async def _execute(connection: AsyncConnection, statement: str) -> None:
    """Runs DDL that takes no parameters; names in it are modules' own, or quoted."""
    await connection.exec_driver_sql(statement)
