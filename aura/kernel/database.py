"""One engine per module, under the module's own role."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, cast

import asyncpg
from sqlalchemy import URL, CursorResult, Executable, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from aura.kernel.errors import (
    Aborted,
    AuraError,
    DeadlineExceeded,
    FieldViolation,
    InvalidRequest,
    ResourceExhausted,
    Unavailable,
)
from aura.kernel.loans import LoanPool
from aura.kernel.query import Query
from aura.kernel.security.keys import KeyRing

CONNECT_SECONDS = 10.0
HANG_SECONDS = 5.0
RETRY_AFTER = timedelta(seconds=1)
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"
QUERY_CANCELED, LOCK_NOT_AVAILABLE = "57014", "55P03"
CHARACTER_NOT_STORABLE = "22021"
UNAVAILABLE_STATES = ("08", "57P", "53300")

Parameters = Mapping[str, Any] | None
Rows = Sequence[Any]
"""Rows whose columns are attributes."""


class Execute(Protocol):
    """How a repository runs a statement: `Database.execute`, each by itself, or `UnitOfWork.execute`, all as one."""

    async def __call__(self, statement: Executable | Query, parameters: Parameters = None) -> Rows:
        """Runs a statement and returns its rows; none for a statement that gives none."""
        ...


connection_held: ContextVar[bool] = ContextVar("connection_held", default=False)
"""Whether the present task holds a database connection, and so must not call another module."""


def role_of(module: str) -> str:
    """Returns the role that a module's connections authenticate as."""
    return f"aura_{module}"


def owner_of(module: str) -> str:
    """Returns the role that owns a module's schema; nobody logs in as it."""
    return f"aura_{module}_owner"


def role_password(keys: KeyRing, module: str) -> str:
    """Returns the password of a module's role."""
    return keys.password(f"postgres-role/{module}")


def async_url(url: str) -> URL:
    """Returns the URL of a PostgreSQL database in the form that the engine takes."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    if "sslmode" in parsed.query:
        parsed = parsed.update_query_dict({"ssl": parsed.query["sslmode"]}).difference_update_query(["sslmode"])
    return parsed


def sync_url(url: URL) -> str:
    """Returns a URL in the form that a setting has, with its password."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@dataclass(frozen=True, kw_only=True)
class DatabaseLimits:
    """How much a module may ask of the database; times are in seconds.

    Attributes:
        pool_size: Connections kept open.
        pool_overflow: Connections opened on top while those are busy.
        pool_timeout: How long a call waits for a connection.
        statement_timeout: How long the database works on one statement.
        lock_timeout: How long a statement waits for what another transaction holds.
    """

    pool_size: int = 6
    pool_overflow: int = 0
    pool_timeout: float = 5.0
    statement_timeout: float = 15.0
    lock_timeout: float = 5.0


def public_part(url: URL) -> str:
    """Returns where a database is, without who connects, and without options, of which one may be the password."""
    where = {key: value for key, value in url.query.items() if key in {"host", "port"}}
    return URL.create("postgresql", host=url.host, port=url.port, database=url.database, query=where).render_as_string()


class Database:
    """A module's way to its schema. Nothing connects until it is used."""

    def __init__(self, *, url: URL, module: str, keys: KeyRing, limits: DatabaseLimits = DatabaseLimits()) -> None:
        self._engine = create_async_engine(
            url.set(username=role_of(module), password=role_password(keys, module)),
            poolclass=LoanPool,
            pool_size=limits.pool_size,
            max_overflow=limits.pool_overflow,
            pool_timeout=limits.pool_timeout,
            connect_args={
                "timeout": CONNECT_SECONDS,
                # The server ends slow statements; this is for a server that no longer answers at all.
                "command_timeout": limits.statement_timeout + HANG_SECONDS,
                "server_settings": {
                    "application_name": f"aura/{module}",
                    "jit": "off",
                    "statement_timeout": _milliseconds(limits.statement_timeout),
                    "lock_timeout": _milliseconds(limits.lock_timeout),
                },
            },
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",  # what most connections are taken for; changing it costs on each checkout
        )
        self._transactional = self._engine.execution_options(isolation_level="READ COMMITTED")

    @property
    def engine(self) -> AsyncEngine:
        """The engine whose connections begin a transaction with their first statement."""
        return self._transactional

    async def execute(self, statement: Executable | Query, parameters: Parameters = None) -> Rows:
        """Runs one statement as a transaction of its own: the cheapest way to read, cheapest of all for a `Query`.

        Of anything else, everything happens in one greenlet, where `read` needs one to connect, one to execute and one
        to give back.
        """
        if isinstance(statement, Query):
            return statement.rows(await self._pool.fetch(statement.sql, statement.arguments(parameters or {})))
        return await greenlet_spawn(self._execute, statement, parameters)

    def _execute(self, statement: Executable, parameters: Parameters) -> Rows:
        with self._engine.sync_engine.connect() as connection:
            return rows_of(connection.execute(statement, parameters))

    @property
    def _pool(self) -> LoanPool:
        return cast("LoanPool", self._engine.sync_engine.pool)  # another after `renew`

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Lends a connection on which every statement is its own transaction."""
        return _Lent(self._engine)

    async def renew(self) -> None:
        """Closes the connections that nobody uses; after the database was away, they lead nowhere."""
        await self._engine.dispose()

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


class _Lent(AbstractAsyncContextManager[AsyncConnection]):
    """A connection for as long as it is used."""

    __slots__ = ("_connection", "_held")

    def __init__(self, engine: AsyncEngine) -> None:
        self._connection = engine.connect()

    async def __aenter__(self) -> AsyncConnection:
        connection = await self._connection.start()
        self._held = connection_held.set(True)
        return connection

    async def __aexit__(self, *_: object) -> None:
        connection_held.reset(self._held)
        await self._connection.close()


async def execute_on(connection: AsyncConnection, statement: Executable | Query, parameters: Parameters = None) -> Rows:
    """Runs a statement in the transaction that a connection is in; returns its rows."""
    executable = statement.statement if isinstance(statement, Query) else statement
    return rows_of(await connection.execute(executable, parameters))


def rows_of(result: CursorResult[Any]) -> Rows:
    """Returns the rows of a result; none of a statement that gives none."""
    return result.all() if result.returns_rows else ()


def fields_of(row: Any) -> dict[str, Any]:
    """Returns a row that SQLAlchemy gave as its columns' names and values, to make a model of."""
    return dict(row._mapping)  # noqa: SLF001 its public name


def violated_constraint(error: IntegrityError) -> str | None:
    """Returns the name of the constraint that a statement broke."""
    return getattr(error.orig.__cause__ if error.orig else None, "constraint_name", None)


def sqlstate_of(error: BaseException) -> str:
    """Returns the SQLSTATE that the database gave; empty if none. While connecting, SQLAlchemy does not wrap errors."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


def is_transient_conflict(error: BaseException) -> bool:
    """Returns whether the transaction lost against a concurrent one and may simply be run again."""
    return sqlstate_of(error) in {SERIALIZATION_FAILURE, DEADLOCK}


def as_aura_error(error: BaseException) -> AuraError | None:
    """Returns what the caller is told of a database's failure; None if it is neither the service's nor the caller's."""
    if isinstance(error, PoolTimeoutError):
        return ResourceExhausted(
            "all connections to the database are busy; try again", reason="DATABASE_BUSY", retry_after=RETRY_AFTER
        )
    if (make := _ERROR_BY_STATE.get(sqlstate_of(error))) is not None:
        return make()
    if _is_unreachable(error):
        return Unavailable(
            "the database does not answer; try again", reason="DATABASE_UNAVAILABLE", retry_after=RETRY_AFTER
        )
    return None


def _concurrent_change() -> AuraError:
    return Aborted("the call met concurrent changes twice; repeat it", reason="CONCURRENT_CHANGE")


_ERROR_BY_STATE: Mapping[str, Callable[[], AuraError]] = {
    SERIALIZATION_FAILURE: _concurrent_change,
    DEADLOCK: _concurrent_change,
    CHARACTER_NOT_STORABLE: lambda: InvalidRequest(
        FieldViolation(field="", description="holds U+0000, which cannot be stored; leave it out")
    ),
    LOCK_NOT_AVAILABLE: lambda: Aborted(
        "another change held what this one needs for too long; try again",
        reason="LOCK_TIMEOUT",
        retry_after=RETRY_AFTER,
    ),
    QUERY_CANCELED: lambda: DeadlineExceeded("the database worked on this for too long", reason="STATEMENT_TIMEOUT"),
}


def _is_unreachable(error: BaseException) -> bool:
    if isinstance(error, OSError) or sqlstate_of(error).startswith(UNAVAILABLE_STATES):
        return True
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, asyncpg.DataError)  # the connection is no more; a wrong argument is our own fault
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, (OperationalError, InterfaceError)) and not sqlstate_of(error)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
