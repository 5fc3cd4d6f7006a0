"""Brings the database up to what the code expects: roles, schemas, and one Alembic history per module."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import alembic.command
import alembic.context
import structlog
from alembic import op
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Text, column, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from aura.kernel.database import owner_of, role_of, role_password
from aura.kernel.idempotency import idempotency_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from aura.kernel.security.keys import KeyRing

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
ADVISORY_LOCK = 0x41757261  # "Aura"
SCRAM_ITERATIONS = 4096

log = structlog.get_logger()


class MigrationError(Exception):
    """Says in one line why the database cannot be used as it is, and what to do."""


class Migrator:
    """Migrates the schemas of some modules, by a connection that may create roles and schemas."""

    def __init__(self, *, url: URL, keys: KeyRing, modules: Sequence[str], folder: Path = MIGRATIONS) -> None:
        self._url = url
        self._keys = keys
        self._modules = tuple(modules)
        self._folder = folder

    async def upgrade(self) -> None:
        """Migrates every module to its newest revision; waits while another process does the same.

        Each module is migrated in one transaction: a crash leaves it as it was.
        """
        engine = create_async_engine(self._url, poolclass=NullPool, hide_parameters=True)
        try:
            async with engine.connect() as lock:
                await lock.execute(text("SELECT pg_advisory_lock(:key)"), {"key": ADVISORY_LOCK})
                await self._close_to_others(engine)
                for module in self._modules:
                    async with engine.begin() as connection:
                        await self._upgrade_module(connection, module)
        finally:
            await engine.dispose()

    async def behind(self, connection: AsyncConnection, module: str) -> bool:
        """Returns whether a module's schema is not at the newest revision, as its own role sees it."""
        return await applied_revision(connection, module) != self.head(module)

    def head(self, module: str) -> str | None:
        """Returns the newest revision that the code knows."""
        return ScriptDirectory.from_config(self._config(module)).get_current_head()

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

    async def _upgrade_module(self, connection: AsyncConnection, module: str) -> None:
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
        await connection.run_sync(self._run_alembic, module)
        await _execute(connection, f"REVOKE INSERT, UPDATE, DELETE ON {module}.alembic_version FROM {role_of(module)}")
        if before != self.head(module):
            log.info("database migrated", module=module, before=before, after=self.head(module))

    def _run_alembic(self, connection: Connection, module: str) -> None:
        config = self._config(module)
        config.attributes["connection"] = connection
        config.attributes["module"] = module
        alembic.command.upgrade(config, "head")

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
    alembic.context.configure(connection=attributes["connection"], version_table_schema=attributes["module"])
    with alembic.context.begin_transaction():
        alembic.context.run_migrations()


def create_idempotency_table(module: str) -> None:
    """Creates a module's table of remembered requests; for use in a revision."""
    requests = idempotency_table(module)
    op.execute(CreateTable(requests))
    for index in requests.indexes:
        index.create(op.get_bind())


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


async def _create_role(connection: AsyncConnection, role: str, login: str) -> None:
    known = await connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    if known.scalar() is None:
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
