"""The one PostgreSQL that all servers of a run use: Aura's embedded one, on a data directory of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
from sqlalchemy import URL

from aura.kernel.database import async_url, role_of, role_password
from aura.kernel.embedded_postgres import EmbeddedPostgres
from aura.kernel.events.subscriptions import subscriptions_of
from aura.kernel.migrations import MIGRATIONS, Migrator
from aura.kernel.module import ModuleSpec
from aura.kernel.security.keys import KeyRing, read_secret_key
from aura.modules import AURA_MODULES

NAME = "aura"


class Database:
    """A running PostgreSQL with a migrated database, as durable as in production."""

    def __init__(self, postgres: EmbeddedPostgres, keys: KeyRing, secret_key_file: Path) -> None:
        self._postgres = postgres
        self._keys = keys
        self.secret_key_file = secret_key_file

    @property
    def url(self) -> str:
        """The superuser's URL."""
        return self.url_of(NAME)

    def url_of(self, name: str) -> str:
        """Return the superuser's URL of another database of this PostgreSQL."""
        return self._postgres.url(name)

    @property
    def users_url(self) -> URL:
        """The URL of the role that the users module connects as."""
        return async_url(self.url).set(username=role_of("users"), password=role_password(self._keys, "users"))

    def cpu_seconds(self) -> float:
        """The processor time that PostgreSQL has used, with that of its processes that have ended."""
        socket = parse_qs(urlsplit(self.url).query)["host"][0]
        postmaster = psutil.Process(int((Path(socket) / ".s.PGSQL.5432.lock").read_text().split()[0]))
        seconds = 0.0
        for process in postmaster.children():
            with suppress(psutil.NoSuchProcess):  # it has just ended, and is in the next sum
                times = process.cpu_times()
                seconds += times.user + times.system
        return seconds + sum(postmaster.cpu_times()[:4])


@asynccontextmanager
async def running_database(
    folder: Path,
    *,
    specs: Mapping[str, ModuleSpec] = AURA_MODULES,
    migrations: Path = MIGRATIONS,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Database]:
    """Lend a new database in a folder, migrated for some modules, in a PostgreSQL with some settings."""
    secret_key_file = folder / "secret.key"
    keys = read_secret_key(secret_key_file, create=True)
    password = keys.password("embedded-postgres")
    with EmbeddedPostgres(folder / "postgres", password=password, settings=settings) as postgres:
        connection = await asyncpg.connect(postgres.url())
        await connection.execute(f"CREATE DATABASE {NAME}")
        await connection.close()
        database = Database(postgres, keys, secret_key_file)
        migrator = Migrator(
            url=async_url(database.url),
            keys=keys,
            modules=list(specs),
            subscriptions=subscriptions_of(specs),
            folder=migrations,
        )
        await migrator.upgrade()
        yield database
