from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import ARRAY, Column, Integer, MetaData, Table, Text, Uuid, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE

from aura.kernel.database import Database, as_aura_error
from aura.kernel.errors import Unavailable
from aura.kernel.query import Query
from tests.support.cluster import Cluster

users = Table("users", MetaData(schema="users"), Column("user_id", Uuid), Column("roles", ARRAY(Text)))
BY_ID = select(users).where(users.c.user_id == bindparam("user_id"))
SLEEP = Query(select(func.pg_sleep(bindparam("seconds", type_=Integer))))
ECHO = Query(select(bindparam("word", type_=Text).label("word"), literal_column("1", Integer).label("one")))


async def test_its_rows_have_columns_as_attributes_and_in_order(users_database: Database):
    rows = await users_database.execute(ECHO, {"word": "hello"})

    assert [(row.word, row.one, *row) for row in rows] == [("hello", 1, "hello", 1)]


async def test_a_column_that_is_not_there_is_no_attribute(users_database: Database):
    (row,) = await users_database.execute(ECHO, {"word": "hello"})

    with pytest.raises(AttributeError, match="nothing"):
        _ = row.nothing


async def test_it_finds_what_the_statement_finds(users_database: Database):
    absent = uuid4()

    assert await users_database.execute(Query(BY_ID), {"user_id": absent}) == []
    assert list(await users_database.execute(BY_ID, {"user_id": absent})) == []


def test_constants_of_the_statement_are_among_its_arguments():
    query = Query(BY_ID.where(users.c.user_id != UUID(int=7)))

    assert query.arguments({"user_id": UUID(int=1)}) == [UUID(int=1), UUID(int=7)]


def test_a_missing_parameter_is_an_error():
    with pytest.raises(KeyError, match="user_id"):
        Query(BY_ID).arguments({})


@pytest.mark.parametrize(
    "statement",
    [
        select(users.c.user_id).where(users.c.user_id.in_([uuid4()])),
        select(literal_column("now()", TSTZRANGE)),
        select(users.c.user_id).where(bindparam("data", type_=JSONB).is_not(None)),
    ],
    ids=["a list of any length", "a range to give", "a document to take"],
)
def test_refuses_what_sqlalchemy_would_convert(statement):
    with pytest.raises(TypeError, match="execute the statement itself"):
        Query(statement)


async def test_a_lost_connection_makes_the_service_unavailable_and_is_replaced(
    cluster: Cluster, users_database: Database
):
    running = asyncio.create_task(users_database.execute(SLEEP, {"seconds": 60}))
    await _is_running(cluster, 1)

    await cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
    )

    with pytest.raises(asyncpg.PostgresError) as caught:
        await running
    assert isinstance(as_aura_error(caught.value), Unavailable)
    assert len(await users_database.execute(ECHO, {"word": "again"})) == 1


async def test_a_caller_who_gives_up_leaves_the_pool_whole(cluster: Cluster, users_database: Database):
    running = [asyncio.create_task(users_database.execute(SLEEP, {"seconds": 60})) for _ in range(6)]
    await _is_running(cluster, 6)

    for task in running:
        task.cancel()
    await asyncio.wait(running)

    answers = await asyncio.gather(*(users_database.execute(ECHO, {"word": str(n)}) for n in range(12)))
    assert [rows[0].word for rows in answers] == [str(n) for n in range(12)]


def test_a_closed_connection_is_the_service_being_away_and_a_wrong_argument_our_own_fault():
    assert isinstance(as_aura_error(asyncpg.InterfaceError("connection is closed")), Unavailable)
    assert as_aura_error(asyncpg.DataError("invalid input for query argument")) is None


async def _is_running(cluster: Cluster, count: int) -> None:
    """Waits until so many sleeps are under way."""
    async with asyncio.timeout(10):
        while await _sleeps(cluster) < count:  # noqa: ASYNC110 PostgreSQL has no event to await
            await asyncio.sleep(0.02)


async def _sleeps(cluster: Cluster) -> int:
    connection = await asyncpg.connect(cluster.plain_url())
    try:
        return await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()"
        )
    finally:
        await connection.close()
