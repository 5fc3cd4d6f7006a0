"""Audit trails can be added to and read, and found in by what admins ask for."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import URL, text

from aura.kernel.database import Database, sync_url
from aura.kernel.migrations import Migrator
from aura.modules import AURA_MODULES
from tests.support.cluster import KEYS

INDEXES = {"audit_pkey", "audit_subject", "audit_actor", "audit_action"}


async def indexes(url: URL, module: str) -> set[str]:
    connection = await asyncpg.connect(sync_url(url))
    statement = "SELECT indexname FROM pg_indexes WHERE schemaname = $1 AND tablename = 'audit'"
    found = await connection.fetch(statement, module)
    await connection.close()
    return {row["indexname"] for row in found}


@pytest.mark.parametrize("module", AURA_MODULES)
@pytest.mark.parametrize("statement", ["UPDATE {}.audit SET actor = ''", "DELETE FROM {}.audit", "TRUNCATE {}.audit"])
async def test_no_module_can_change_its_trail(database_url: URL, module: str, statement: str):
    database = Database(url=database_url, module=module, keys=KEYS)

    with pytest.raises(Exception, match="permission denied"):
        await database.execute(text(statement.format(module)))

    await database.close()


@pytest.mark.parametrize("module", AURA_MODULES)
async def test_a_new_trail_has_all_indexes(database_url: URL, module: str):
    assert await indexes(database_url, module) == INDEXES


async def test_a_trail_from_before_gets_its_indexes(database_url: URL):
    migrator = Migrator(url=database_url, keys=KEYS, modules=["users"])
    await migrator.move_to("0005")
    connection = await asyncpg.connect(sync_url(database_url))
    await connection.execute("DROP INDEX users.audit_actor, users.audit_action")
    await connection.close()

    await migrator.upgrade()

    assert await indexes(database_url, "users") == INDEXES
