"""What a module's role may do in a real database, whatever it says on its connection before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from sqlalchemy import URL, text

from aura.kernel.database import Database, owner_of, role_of, role_password
from aura.kernel.migrations import Migrator
from aura.modules import AURA_MODULES
from tests.support.cluster import KEYS, Cluster

INSUFFICIENT_PRIVILEGE = "42501"
FIRST = "the first checkout"
LATER = "a later checkout"
PREPARATIONS = [
    FIRST,
    LATER,
    "SET ROLE NONE",
    "RESET ROLE",
    "RESET ALL",
    "DISCARD ALL",
    "RESET SESSION AUTHORIZATION",
    "SET SESSION AUTHORIZATION DEFAULT",
]
OTHERS = {"users": "mentalhealth", "mentalhealth": "users"}
TABLES = {"users": "users.users", "mentalhealth": "mentalhealth.therapy_sessions"}

FORBIDDEN = [
    "SELECT * FROM {other_table}",
    "SELECT * FROM {other}.idempotency",
    "SELECT * FROM {other}.alembic_version",
    "INSERT INTO {other}.idempotency (actor) VALUES ('x')",
    "UPDATE {other}.idempotency SET actor = 'x'",
    "DELETE FROM {other}.idempotency",
    "TRUNCATE {other}.idempotency",
    "LOCK TABLE {other}.idempotency",
    "CREATE TABLE {other}.mine (a int)",
    "CREATE TABLE {own}.mine (a int)",
    "CREATE TABLE public.mine (a int)",
    "CREATE VIEW {own}.mine AS SELECT 1",
    "CREATE FUNCTION {own}.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE {own}.mine AS ENUM ('a')",
    "CREATE TEMPORARY TABLE mine (a int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "SET ROLE {owner}",
    "SET ROLE {other_role}",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION {owner}",
    "SET SESSION AUTHORIZATION postgres",
    "GRANT {owner} TO {role}",
    "ALTER ROLE {role} SUPERUSER",
    "ALTER ROLE {other_role} PASSWORD 'x'",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "ALTER TABLE {own_table} DISABLE TRIGGER ALL",
    "DROP TABLE {own_table}",
    "TRUNCATE {own_table}",
    "UPDATE {own}.alembic_version SET version_num = 'x'",
    "DELETE FROM {own}.alembic_version",
    "INSERT INTO {own}.alembic_version VALUES ('x')",
    "TRUNCATE {own}.alembic_version",
]
FORBIDDEN_TO_MENTAL_HEALTH = [
    "UPDATE mentalhealth.session_transitions SET reason = 'x'",
    "DELETE FROM mentalhealth.session_transitions",
    "TRUNCATE mentalhealth.session_transitions",
    "TRUNCATE mentalhealth.therapy_sessions CASCADE",
    "ALTER TABLE mentalhealth.session_transitions DROP COLUMN reason",
    "INSERT INTO mentalhealth.disorders SELECT * FROM mentalhealth.disorders",
    "UPDATE mentalhealth.disorders SET title = 'x'",
    "DELETE FROM mentalhealth.disorders",
    "TRUNCATE mentalhealth.disorders",
]


@pytest.fixture(scope="module")
def url(cluster: Cluster) -> Iterator[URL]:
    """A database for all of these tests; none of them changes it."""
    with asyncio.Runner() as runner:
        lent = cluster.clone()
        database = cluster.url(runner.run(lent.__aenter__()))
        # A clone has the template's schemas but not its own privileges, as that to create temporary tables.
        runner.run(Migrator(url=database, keys=KEYS, modules=list(AURA_MODULES)).upgrade())
        yield database
        runner.run(lent.__aexit__(None, None, None))


@pytest.fixture(params=AURA_MODULES)
def module(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def database(url: URL, module: str) -> AsyncIterator[Database]:
    database = Database(url=url, module=module, keys=KEYS)
    yield database
    await database.close()


def filled_in(statement: str, module: str) -> str:
    other = OTHERS[module]
    return statement.format(
        own=module,
        own_table=TABLES[module],
        other=other,
        other_table=TABLES[other],
        owner=owner_of(module),
        role=role_of(module),
        other_role=role_of(other),
    )


async def refused(database: Database, statement: str, preparation: str) -> bool:
    """Returns whether the statement is refused for want of privileges; never leaves anything behind."""
    if preparation == LATER:
        async with database.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    async with database.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        if preparation not in {FIRST, LATER}:
            await driver.execute(preparation)
        await driver.execute("BEGIN")
        try:
            await driver.execute(statement)
        except asyncpg.PostgresError as error:
            return error.sqlstate == INSUFFICIENT_PRIVILEGE
        finally:
            await driver.execute("ROLLBACK")
        return False


@pytest.mark.parametrize("preparation", PREPARATIONS)
async def test_a_module_can_do_nothing_outside_its_own_tables(database: Database, module: str, preparation: str):
    statements = [filled_in(statement, module) for statement in FORBIDDEN]

    allowed = [statement for statement in statements if not await refused(database, statement, preparation)]

    assert allowed == []


@pytest.mark.parametrize("preparation", PREPARATIONS)
@pytest.mark.parametrize("module", ["mentalhealth"])
async def test_history_and_catalogue_cannot_be_changed(database: Database, preparation: str):
    allowed = [
        statement for statement in FORBIDDEN_TO_MENTAL_HEALTH if not await refused(database, statement, preparation)
    ]

    assert allowed == []


@pytest.mark.parametrize("preparation", PREPARATIONS)
async def test_a_module_can_read_its_own_tables(database: Database, module: str, preparation: str):
    for table in (TABLES[module], f"{module}.idempotency", f"{module}.alembic_version"):
        assert not await refused(database, f"SELECT * FROM {table}", preparation)


async def test_a_module_can_change_its_own_tables(database: Database, module: str):
    for statement in (f"UPDATE {module}.idempotency SET actor = 'x'", f"DELETE FROM {module}.idempotency"):
        assert not await refused(database, statement, FIRST)


async def test_a_module_is_its_own_role_and_no_more(database: Database, module: str):
    async with database.read() as connection:
        row = (
            await connection.exec_driver_sql(
                "SELECT session_user, current_user, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
                "FROM pg_roles WHERE rolname = current_user"
            )
        ).one()
        memberships = (
            await connection.exec_driver_sql(
                "SELECT count(*) FROM pg_auth_members WHERE member = current_user::regrole"
            )
        ).scalar_one()

    assert tuple(row) == (role_of(module), role_of(module), False, False, False, False, False)
    assert memberships == 0


async def test_a_checkout_is_the_module_again_whatever_the_one_before_did(database: Database, module: str):
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql("SET SESSION search_path = public")
        await connection.commit()
        pid = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()

    async with database.engine.connect() as connection:
        again = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
        user = (await connection.exec_driver_sql("SELECT current_user")).scalar_one()

    assert (again, user) == (pid, role_of(module))


async def test_nobody_can_log_in_as_the_owner(database: Database, module: str):
    async with database.read() as connection:
        can = (
            await connection.execute(
                text("SELECT rolcanlogin FROM pg_roles WHERE rolname = :name"), {"name": owner_of(module)}
            )
        ).scalar_one()

    assert can is False


async def test_another_modules_password_does_not_open_the_role(url: URL, module: str):
    stranger = url.set(username=role_of(module), password=role_password(KEYS, OTHERS[module]))

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(
            host=stranger.query["host"],
            port=int(stranger.query["port"]),
            user=stranger.username,
            password=stranger.password,
            database=stranger.database,
        )
