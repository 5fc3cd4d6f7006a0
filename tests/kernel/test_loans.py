"""What single reads do with the connections of a pool that others use too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import URL, Integer, bindparam, func, select, text

from aura.kernel.database import Database, DatabaseLimits
from aura.kernel.query import Query
from tests.support.cluster import KEYS

BACKEND = Query(select(func.pg_backend_pid(type_=Integer).label("pid")))
SLEEP = Query(select(func.pg_sleep(bindparam("seconds", type_=Integer))))

COUNT = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aura/users' AND datname = current_database()
"""


@pytest.fixture(params=[0, 1], ids=["fixed", "with one on demand"])
async def database(database_url: URL, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    limits = DatabaseLimits(pool_size=2, pool_overflow=request.param, pool_timeout=5)
    database = Database(url=database_url, module="users", keys=KEYS, limits=limits)
    yield database
    await database.close()


async def backend(database: Database) -> int:
    (row,) = await database.execute(BACKEND)
    return row.pid


async def connections(database: Database) -> int:
    async with database.read() as connection:
        return (await connection.execute(text(COUNT))).scalar_one()


async def test_reads_hand_on_one_connection(database: Database):
    assert len({await backend(database) for _ in range(5)}) == 1


async def test_reads_at_the_same_time_open_no_more_than_the_pool_may(database: Database):
    await asyncio.gather(*(backend(database) for _ in range(20)))

    assert await connections(database) <= database.engine.pool.size() + 1


async def test_others_get_what_reads_do_not_use(database: Database):
    await asyncio.gather(*(backend(database) for _ in range(20)))

    async with asyncio.timeout(2), database.engine.connect(), database.engine.connect():
        pass


async def test_who_waits_for_a_connection_gets_that_of_the_next_read_to_end(database: Database):
    reads = [asyncio.create_task(backend(database)) for _ in range(50)]
    await asyncio.sleep(0)

    async with asyncio.timeout(2), database.engine.connect():
        pass

    assert len(await asyncio.gather(*reads)) == 50


async def test_reads_wait_for_others(database: Database):
    async with database.engine.connect(), database.engine.connect():
        reading = asyncio.create_task(backend(database))
        await asyncio.sleep(0.05)

    assert await reading


async def test_a_read_that_is_cut_off_takes_its_connection_with_it(database: Database):
    before = await backend(database)
    reading = asyncio.create_task(database.execute(SLEEP, {"seconds": 10}))
    await asyncio.sleep(0.05)

    reading.cancel()
    await asyncio.wait([reading])

    assert await backend(database) != before


async def test_the_pool_gets_everything_back(database: Database):
    await asyncio.gather(*(backend(database) for _ in range(20)), return_exceptions=True)

    async with database.read():
        assert database.engine.pool.checkedout() == 1


async def test_a_read_that_outlives_its_pool_keeps_nothing(database: Database):
    old = database.engine.pool
    reading = asyncio.create_task(database.execute(SLEEP, {"seconds": 1}))
    await asyncio.sleep(0.05)

    await database.renew()
    await reading

    assert old.checkedin() == 1
