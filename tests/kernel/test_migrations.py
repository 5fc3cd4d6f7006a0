from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from aura.kernel.audit import audit_table
from aura.kernel.database import Database, async_url, role_of, role_password, sqlstate_of
from aura.kernel.embedded_postgres import EmbeddedPostgres
from aura.kernel.events.tables import event_tables
from aura.kernel.idempotency import idempotency_table
from aura.kernel.migrations import MigrationError, Migrator, applied_revision, scram_verifier
from aura.kernel.security.keys import KeyRing
from aura.mentalhealth.infrastructure import tables
from aura.modules import AURA_MODULES
from aura.users.models import account, login_session
from aura.users.models.user import users_table

KEYS = KeyRing(b"the secret of these tests, 32 bytes or more")
MODULES = list(AURA_MODULES)
DATABASE = "aura"
INVALID_PASSWORD = "28P01"

FIRST = """
from alembic import op
from sqlalchemy import Column, Integer

revision, down_revision = "0001", None


def upgrade() -> None:
    op.create_table("things", Column("thing_id", Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("things")
"""
FAILING = """
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE things ADD COLUMN name text")
    op.execute("INSERT INTO things (thing_id) VALUES (1)")
    op.execute("SELECT 1 / 0")
"""
# What the catalogue knows of the schemas of modules: every relation and column, every privilege, and who owns them.
SNAPSHOT = """
SELECT n.nspname || ' ' || n.nspowner::regrole || ' ' || coalesce(n.nspacl::text, '') FROM pg_namespace n
WHERE n.nspname = ANY (:schemas)
UNION ALL
SELECT c.oid::text || ' ' || c.oid::regclass || ' ' || c.relowner::regrole || ' ' || coalesce(c.relacl::text, '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (:schemas)
UNION ALL
SELECT a.attrelid::regclass || ' ' || a.attname || ' ' || a.atttypid::regtype || ' ' || a.attnotnull
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (:schemas)
UNION ALL
SELECT c.oid::regclass || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (:schemas)
UNION ALL
SELECT coalesce(datacl::text, '') FROM pg_database WHERE datname = current_database()
"""


class Server:
    """A PostgreSQL that logs every statement."""

    def __init__(self, folder: Path) -> None:
        self._postgres = EmbeddedPostgres(
            folder, password="administrator", durable=False, settings={"log_statement": "all"}
        )
        self._log = folder / "postgres.log"

    def __enter__(self) -> Self:
        self._postgres.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._postgres.stop(immediate=True)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def url(self, database: str = DATABASE, **changes: Any) -> URL:
        return async_url(self._postgres.url(database)).set(**changes)

    async def execute(self, *statements: str, database: str = "postgres") -> None:
        connection = await asyncpg.connect(self._postgres.url(database))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async def roles(self) -> list[str]:
        connection = await asyncpg.connect(self._postgres.url())
        found = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg_%'")
        await connection.close()
        return sorted(row["rolname"] for row in found)


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("migrations") / "postgres") as server:
        yield server


@pytest.fixture
async def server(running_server: Server) -> AsyncIterator[Server]:
    """A server with an empty database and none of our roles."""
    await running_server.execute(f"CREATE DATABASE {DATABASE}")
    yield running_server
    await running_server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    for role in await running_server.roles():
        if role != "postgres":
            await running_server.execute(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


def migrator(url: URL, *, modules: Sequence[str] = MODULES, keys: KeyRing = KEYS, **options: Any) -> Migrator:
    return Migrator(url=url, keys=keys, modules=modules, **options)


def write_history(folder: Path, **revisions: str) -> Path:
    """Makes the migrations of a module `things`."""
    versions = folder / "things" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (folder / "things" / "env.py").write_text("from aura.kernel.migrations import run_migrations\n\nrun_migrations()\n")
    for name, content in revisions.items():
        (versions / f"{name}.py").write_text(content)
    return folder


@asynccontextmanager
async def connected(url: URL) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def snapshot(url: URL, *schemas: str) -> list[str]:
    async with connected(url) as connection:
        return sorted((await connection.execute(text(SNAPSHOT), {"schemas": list(schemas or MODULES)})).scalars())


async def revisions(url: URL, *modules: str) -> dict[str, str | None]:
    async with connected(url) as connection:
        return {module: await applied_revision(connection, module) for module in modules or MODULES}


def heads(of: Migrator, *modules: str) -> dict[str, str | None]:
    return {module: of.head(module) for module in modules or MODULES}


async def test_brings_an_empty_database_to_the_newest_revisions(server: Server):
    before = await revisions(server.url())

    await migrator(server.url()).upgrade()

    assert before == dict.fromkeys(MODULES)
    assert await revisions(server.url()) == heads(migrator(server.url()))
    assert None not in heads(migrator(server.url())).values()


async def test_knows_as_each_module_itself_whether_a_schema_is_behind(server: Server):
    async def behind(module: str) -> bool:
        database = Database(url=server.url(), module=module, keys=KEYS)
        async with database.read() as connection:
            answer = await migrator(server.url()).behind(connection, module)
        await database.close()
        return answer

    await migrator(server.url()).upgrade()
    before = [await behind(module) for module in MODULES]
    await server.execute("UPDATE mentalhealth.alembic_version SET version_num = '0001'", database=DATABASE)
    after = [await behind(module) for module in MODULES]

    assert dict(zip(MODULES, before, strict=True)) == dict.fromkeys(MODULES, False)
    assert dict(zip(MODULES, after, strict=True)) == {**dict.fromkeys(MODULES, False), "mentalhealth": True}


async def test_running_again_changes_nothing(server: Server):
    await migrator(server.url()).upgrade()
    before = await snapshot(server.url())

    await migrator(server.url()).upgrade()

    assert await snapshot(server.url()) == before


async def test_two_migrators_at_the_same_time_both_succeed(server: Server):
    await asyncio.gather(migrator(server.url()).upgrade(), migrator(server.url()).upgrade())

    assert await revisions(server.url()) == heads(migrator(server.url()))


async def test_a_new_key_gives_the_roles_new_passwords(server: Server):
    other = KeyRing(b"another secret of these tests, 32 bytes or more")
    await migrator(server.url()).upgrade()

    await migrator(server.url(), keys=other).upgrade()

    assert await can_log_in(server, role_password(other, "users"))
    assert not await can_log_in(server, role_password(KEYS, "users"))


async def can_log_in(server: Server, password: str, module: str = "users") -> bool:
    try:
        async with connected(server.url(username=role_of(module), password=password)) as connection:
            return (await connection.execute(text("SELECT current_user"))).scalar() == role_of(module)
    except DBAPIError as error:
        if sqlstate_of(error) != INVALID_PASSWORD:
            raise
        return False


async def test_the_verifier_lets_the_module_log_in_and_nobody_else(server: Server):
    await migrator(server.url()).upgrade()

    assert await can_log_in(server, role_password(KEYS, "users"))
    assert not await can_log_in(server, role_password(KEYS, "mentalhealth"))
    assert not await can_log_in(server, "x")


def test_a_verifier_is_salted():
    one, other = scram_verifier("x"), scram_verifier("x")

    assert one.startswith("SCRAM-SHA-256$4096:")
    assert one != other


async def test_no_password_gets_into_the_servers_log(server: Server):
    await migrator(server.url()).upgrade()

    assert f"ALTER ROLE {role_of('users')} WITH LOGIN PASSWORD 'SCRAM-SHA-256$" in server.log
    assert [module for module in MODULES if role_password(KEYS, module) in server.log] == []


@pytest.mark.parametrize(
    "privileges",
    [
        [f"ALTER DATABASE {DATABASE} OWNER TO migrator"],
        [f"GRANT CREATE, CONNECT ON DATABASE {DATABASE} TO migrator WITH GRANT OPTION"],
    ],
    ids=["owner", "granted"],
)
async def test_needs_no_superuser(server: Server, privileges: list[str]):
    await server.execute("CREATE ROLE migrator LOGIN CREATEROLE PASSWORD 'm'", *privileges)
    url = server.url(username="migrator", password="m")

    await migrator(url).upgrade()
    once = await snapshot(server.url())
    await migrator(url).upgrade()

    assert await revisions(server.url()) == heads(migrator(url))
    assert await snapshot(server.url()) == once
    assert await can_log_in(server, role_password(KEYS, "users"))


async def test_the_migrating_user_cannot_read_what_it_migrates(server: Server):
    await server.execute(
        "CREATE ROLE migrator LOGIN CREATEROLE PASSWORD 'm'", f"ALTER DATABASE {DATABASE} OWNER TO migrator"
    )
    url = server.url(username="migrator", password="m")
    await migrator(url).upgrade()

    async with connected(url) as connection:
        with pytest.raises(DBAPIError, match="permission denied for schema users"):
            await connection.execute(text("SELECT * FROM users.users"))


async def test_says_what_a_user_lacks_who_may_not_create_roles(server: Server):
    await server.execute("CREATE ROLE migrator LOGIN PASSWORD 'm'", f"ALTER DATABASE {DATABASE} OWNER TO migrator")

    with pytest.raises(MigrationError) as caught:
        await migrator(server.url(username="migrator", password="m")).upgrade()

    assert str(caught.value) == (
        "the migrating user cannot create the role aura_users_owner: give it CREATEROLE, or set "
        "AURA_DATABASE_ADMIN_URL to the connection of a user that has it"
    )
    assert await server.roles() == ["migrator", "postgres"]


async def test_a_failing_revision_leaves_the_schema_as_it_was(server: Server, tmp_path: Path):
    folder = write_history(tmp_path, r0001=FIRST)
    await migrator(server.url(), modules=["things"], folder=folder).upgrade()
    before = await snapshot(server.url(), "things")
    write_history(tmp_path, r0002=FAILING)

    with pytest.raises(Exception, match="division by zero"):
        await migrator(server.url(), modules=["things"], folder=folder).upgrade()

    assert await snapshot(server.url(), "things") == before
    assert await revisions(server.url(), "things") == {"things": "0001"}


async def test_a_failing_first_revision_leaves_no_schema(server: Server, tmp_path: Path):
    folder = write_history(tmp_path, r0001=FIRST.replace("op.create_table(", 'op.execute("SELECT 1 / 0"), ('))

    with pytest.raises(Exception, match="division by zero"):
        await migrator(server.url(), modules=["things"], folder=folder).upgrade()

    async with connected(server.url()) as connection:
        assert (await connection.execute(text("SELECT to_regnamespace('things')"))).scalar() is None


async def test_a_failing_module_does_not_undo_those_before_it(server: Server, tmp_path: Path):
    folder = write_history(tmp_path, r0001=FIRST, r0002=FAILING)
    (folder / "users").symlink_to(Path(__file__).parents[2] / "migrations" / "users")

    with pytest.raises(Exception, match="division by zero"):
        await migrator(server.url(), modules=["users", "things"], folder=folder).upgrade()

    head = migrator(server.url()).head("users")
    assert await revisions(server.url(), "users", "things") == {"users": head, "things": None}


async def test_lets_the_next_migrator_in_after_a_failure(server: Server, tmp_path: Path):
    folder = write_history(tmp_path, r0001=FIRST, r0002=FAILING)
    with pytest.raises(Exception, match="division by zero"):
        await migrator(server.url(), modules=["things"], folder=folder).upgrade()

    (folder / "things" / "versions" / "r0002.py").unlink()
    await asyncio.wait_for(migrator(server.url(), modules=["things"], folder=folder).upgrade(), 20)

    assert await revisions(server.url(), "things") == {"things": "0001"}


@pytest.mark.parametrize("module", MODULES)
async def test_goes_down_to_nothing_and_up_again(server: Server, module: str):
    await migrator(server.url()).upgrade()
    before = await described(server.url(), module)

    await migrator(server.url(), modules=[module]).move_to("base")
    empty = await described(server.url(), module)
    await migrator(server.url()).upgrade()

    assert [line for line in empty if not line.startswith((f"{module} ", "alembic_version"))] == []
    assert await described(server.url(), module) == before


async def described(url: URL, module: str) -> list[str]:
    """What is in a module's schema, with no numbers that differ from one creation to the next."""
    statement = text("""
        SELECT c.relname || ' ' || c.relkind::text || ' ' || coalesce(c.relacl::text, '') || ' ' || coalesce(
            (SELECT string_agg(a.attname || ' ' || a.atttypid::regtype || ' ' || a.attnotnull, ', ' ORDER BY a.attnum)
             FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), '')
        FROM pg_class c WHERE c.relnamespace = to_regnamespace(:module)
        UNION ALL
        SELECT :module || ' ' || n.nspacl::text FROM pg_namespace n WHERE n.nspname = :module
        UNION ALL
        SELECT t.typname || ' ' || t.typtype::text FROM pg_type t WHERE t.typnamespace = to_regnamespace(:module)
            AND t.typtype IN ('r', 'e', 'd') AND t.typname NOT LIKE '%alembic%'
    """)
    async with connected(url) as connection:
        return sorted((await connection.execute(statement, {"module": module})).scalars())


DESCRIBED = {
    "users": [
        *{table.metadata for table in (users_table, account.credentials_table, login_session.login_sessions_table)},
        idempotency_table("users").metadata,
        event_tables("users").inbox.metadata,
        audit_table("users").metadata,
    ],
    "mentalhealth": [
        tables.metadata,
        idempotency_table("mentalhealth").metadata,
        event_tables("mentalhealth").inbox.metadata,
        audit_table("mentalhealth").metadata,
    ],
}


def differences(connection: Any, module: str, metadata: list[MetaData]) -> list[Any]:
    """How the tables in the database differ from those in code in columns, types and nullability."""
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "compare_type": True,
            "include_name": lambda name, kind, _: name == module if kind == "schema" else name != "alembic_version",
        },
    )
    found = compare_metadata(context, metadata)
    flat = [change for changes in found for change in (changes if isinstance(changes, list) else [changes])]
    return [change for change in flat if change[0].partition("_")[2] in {"table", "column", "type", "nullable"}]


@pytest.mark.parametrize("module", MODULES)
async def test_the_tables_in_code_are_those_in_the_database(server: Server, module: str):
    await migrator(server.url()).upgrade()

    async with connected(server.url()) as connection:
        found = await connection.run_sync(differences, module, DESCRIBED[module])

    assert found == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE users.users ADD COLUMN surplus text",
        "ALTER TABLE users.users DROP COLUMN locale",
        "ALTER TABLE users.users ALTER COLUMN locale TYPE varchar(5)",
        "ALTER TABLE users.users ALTER COLUMN locale DROP NOT NULL",
        "CREATE TABLE users.surplus (a int)",
        "DROP TABLE users.idempotency",
    ],
)
async def test_a_difference_between_code_and_database_is_noticed(server: Server, change: str):
    await migrator(server.url(), modules=["users"]).upgrade()
    await server.execute(change, database=DATABASE)

    async with connected(server.url()) as connection:
        assert await connection.run_sync(differences, "users", DESCRIBED["users"])
