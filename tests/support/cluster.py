"""One PostgreSQL cluster for a whole test run, migrated once; each test gets a clone of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psutil
from sqlalchemy import URL

from aura.kernel.database import async_url
from aura.kernel.embedded_postgres import EmbeddedPostgres
from aura.kernel.events.subscriptions import subscriptions_of
from aura.kernel.migrations import Migrator
from aura.kernel.security.keys import KeyRing
from aura.modules import AURA_MODULES

TEMPLATE = "aura_template"
KEYS = KeyRing(b"the secret of the tests, 32 bytes")


class Cluster:
    """A running PostgreSQL with a migrated template."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._postgres = EmbeddedPostgres(
            folder, password=KEYS.password("embedded-postgres"), durable=durable, settings={"max_connections": "300"}
        )
        self._numbers = itertools.count(1)

    def start(self) -> None:
        self._postgres.start()

    def stop(self) -> None:
        self._postgres.stop(immediate=True)

    def processes(self) -> list[psutil.Process]:
        """The processes of PostgreSQL, its main one first."""
        socket = parse_qs(urlsplit(self.plain_url()).query)["host"][0]
        main = int((Path(socket) / ".s.PGSQL.5432.lock").read_text().split()[0])
        return [psutil.Process(main), *psutil.Process(main).children()]

    def kill(self) -> None:
        """Ends PostgreSQL as a power failure would."""
        processes = self.processes()
        for process in processes:
            process.kill()
        psutil.wait_procs(processes)

    def revive(self) -> None:
        self._postgres.revive()

    def url(self, database: str = "postgres") -> URL:
        return async_url(self.plain_url(database))

    def plain_url(self, database: str = "postgres") -> str:
        return self._postgres.url(database)

    async def make_template(self) -> None:
        await self.execute(f"CREATE DATABASE {TEMPLATE}")
        migrator = Migrator(
            url=self.url(TEMPLATE),
            keys=KEYS,
            modules=list(AURA_MODULES),
            subscriptions=subscriptions_of(AURA_MODULES),
        )
        await migrator.upgrade()

    @asynccontextmanager
    async def clone(self, template: str = TEMPLATE) -> AsyncIterator[str]:
        """Lends the name of a database that is like a freshly migrated one."""
        name = f"test_{next(self._numbers)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG")
        try:
            yield name
        finally:
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def run(self, statement: str) -> None:
        """Executes a statement where no event loop runs."""
        asyncio.run(self.execute(statement))

    async def execute(self, statement: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self.plain_url(database))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
