"""One engine per module, under the module's own role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from aura.kernel.errors import (
    Aborted,
    AuraError,
    DeadlineExceeded,
    FieldViolation,
    InvalidRequest,
    ResourceExhausted,
    Unavailable,
)
from aura.kernel.security.keys import KeyRing

CONNECT_SECONDS = 10.0
HANG_SECONDS = 5.0
RETRY_AFTER = timedelta(seconds=1)
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"
QUERY_CANCELED, LOCK_NOT_AVAILABLE = "57014", "55P03"
CHARACTER_NOT_STORABLE = "22021"
UNAVAILABLE_STATES = ("08", "57P", "53300")

Connect = Callable[[], AbstractAsyncContextManager["AsyncConnection"]]
"""How a repository gets its connection: `Database.read`, or that of a unit of work."""

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

    pool_size: int = 4
    pool_overflow: int = 2
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
        )
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def engine(self) -> AsyncEngine:
        """The engine; transactions begin here."""
        return self._engine

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Lends a connection on which every statement is its own transaction: the cheapest way to read."""
        async with self._reading.connect() as connection:
            token = connection_held.set(True)
            try:
                yield connection
            finally:
                connection_held.reset(token)

    async def renew(self) -> None:
        """Closes the connections that nobody uses; after the database was away, they lead nowhere."""
        await self._engine.dispose()

    async def close(self) -> None:
        """Closes all connections."""
        await self._engine.dispose()


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
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, (OperationalError, InterfaceError)) and not sqlstate_of(error)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
