from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import Interval, cast, func, insert, literal, select, text, update
from sqlalchemy.exc import DBAPIError

from aura.kernel.audit import AuditTrail
from aura.kernel.channel import ConnectionHeld
from aura.kernel.database import Database, connection_held
from aura.kernel.events.inbox import NO_DELIVERY
from aura.kernel.events.outbox import Outbox
from aura.kernel.idempotency import (
    ConcurrentReplay,
    IdempotentRequest,
    RequestIdReused,
    fingerprint_of,
    forget_expired,
    idempotency_table,
)
from aura.kernel.security.access_changes import AccessChanges
from aura.kernel.unit_of_work import UnitOfWork
from aura.modules import AURA_MODULES
from aura.users.models.user import users_table
from tests.support.cluster import KEYS
from tests.support.services import KINDS, TRANSPORTS, echo, handlers, module_channel, path_of, serving

TABLE = idempotency_table("users")
METHOD = "/aura.users.v1.UserService/CreateUser"


def request(request_id: str = "", *, actor: str = "ada", method: str = METHOD, body: str = "a") -> IdempotentRequest:
    return IdempotentRequest(
        table=TABLE,
        actor=actor,
        method=method,
        request_id=request_id,
        fingerprint=fingerprint_of(StringValue(value=body)),
    )


def work_on(database: Database, *arguments: Any, **options: Any) -> UnitOfWork:
    outbox = Outbox(module="users", publishes=AURA_MODULES["users"].publishes)
    return UnitOfWork(
        database=database,
        request=request(*arguments, **options),
        outbox=outbox,
        delivery=NO_DELIVERY,
        audit_trail=AuditTrail(module="users", database=database),
        access_changes=AccessChanges(),
    )


async def add_user(work: UnitOfWork) -> UUID:
    user_id = uuid.uuid4()
    row = {
        "user_id": user_id,
        "email": "",
        "email_key": str(user_id),
        "display_name": "",
        "phone_number": "",
        "name_key": "",
        "time_zone": "UTC",
        "locale": "en",
        "roles": ["PATIENT"],
        "state": "ACTIVE",
        "version": 1,
        "create_time": func.now(),
        "update_time": func.now(),
    }
    await work.connection.execute(insert(users_table).values(row))
    return user_id


async def create_user(database: Database, *arguments: Any, **options: Any) -> UUID:
    async with work_on(database, *arguments, **options) as work:
        user_id = await add_user(work)
        await work.commit(user_id)
    return user_id


async def users_in(database: Database) -> int:
    async with database.read() as connection:
        return (await connection.execute(select(func.count()).select_from(users_table))).scalar_one()


async def let_time_pass(database: Database, time: timedelta) -> None:
    """Makes what is remembered older."""
    async with database.engine.begin() as connection:
        age = cast(literal(f"{time.total_seconds()} seconds"), Interval)
        await connection.execute(update(TABLE).values(create_time=TABLE.c.create_time - age))


# The transaction


async def test_a_commit_lasts(users_database: Database):
    await create_user(users_database)

    assert await users_in(users_database) == 1


async def test_leaving_without_a_commit_rolls_back(users_database: Database):
    async with work_on(users_database) as work:
        await add_user(work)

    assert await users_in(users_database) == 0


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError(), KeyboardInterrupt()])
async def test_leaving_by_an_exception_rolls_back(users_database: Database, error: BaseException):
    async def leave() -> None:
        async with work_on(users_database) as work:
            await add_user(work)
            raise error

    with pytest.raises(type(error)):
        await leave()

    assert await users_in(users_database) == 0


async def test_what_follows_the_commit_is_rolled_back(users_database: Database):
    async with work_on(users_database) as work:
        await work.commit(await add_user(work))
        await add_user(work)

    assert await users_in(users_database) == 1


async def test_a_failed_statement_rolls_back_all(users_database: Database):
    async with work_on(users_database) as work:
        await add_user(work)
        with pytest.raises(DBAPIError):
            await work.connection.execute(text("SELECT 1 / 0"))
        with pytest.raises(DBAPIError):
            await work.commit(await add_user(work))

    assert await users_in(users_database) == 0


async def test_nothing_is_seen_before_the_commit(users_database: Database):
    async with work_on(users_database) as work:
        await add_user(work)
        seen = await users_in(users_database)
        await work.commit()

    assert (seen, await users_in(users_database)) == (0, 1)


async def test_runs_at_read_committed(users_database: Database):
    async with work_on(users_database) as work:
        isolation = (await work.connection.execute(text("SHOW transaction_isolation"))).scalar_one()

    assert isolation == "read committed"


async def test_executes_inside_its_own_transaction(users_database: Database):
    async with work_on(users_database) as work:
        transaction = select(func.pg_current_xact_id_if_assigned(), func.pg_backend_pid())
        await work.connection.execute(select(func.pg_current_xact_id()))

        assert await work.execute(transaction) == (await work.connection.execute(transaction)).all()


async def test_gives_its_connection_back(users_database: Database):
    for _ in range(20):  # more than the pool has
        async with work_on(users_database):
            pass

    assert users_database.engine.pool.checkedout() == 0


async def test_cannot_be_entered_twice(users_database: Database):
    async with work_on(users_database) as work:
        with pytest.raises(RuntimeError, match="the unit of work is open already; there is one per request"):
            await work.__aenter__()

        await work.commit(await add_user(work))

    assert await users_in(users_database) == 1


@pytest.mark.parametrize("entered", [False, True])
async def test_cannot_be_used_outside(users_database: Database, entered: bool):  # noqa: FBT001
    work = work_on(users_database)
    if entered:
        async with work:
            pass

    with pytest.raises(RuntimeError, match="the unit of work is not open; use it in `async with`"):
        _ = work.connection
    with pytest.raises(RuntimeError, match="not open"):
        await work.commit()
    with pytest.raises(RuntimeError, match="not open"):
        await work.execute(select(literal(1)))


async def test_can_be_entered_again_once_it_is_left(users_database: Database):
    work = work_on(users_database)
    async with work:
        pass

    async with work:
        await work.commit(await add_user(work))

    assert await users_in(users_database) == 1


# A connection that is held


async def test_a_connection_is_held_inside_and_not_after(users_database: Database):
    held = [connection_held.get()]
    async with work_on(users_database) as work:
        held.append(connection_held.get())
        await work.commit()
        held.append(connection_held.get())
    held.append(connection_held.get())

    assert held == [False, True, True, False]


async def test_a_connection_is_held_while_reading_and_not_after(users_database: Database):
    async with users_database.read():
        inside = connection_held.get()

    assert (inside, connection_held.get()) == (True, False)


async def test_reading_inside_a_unit_of_work_leaves_the_connection_held(users_database: Database):
    async with work_on(users_database):
        async with users_database.read():
            pass
        assert connection_held.get()

    assert not connection_held.get()


async def test_no_connection_is_held_after_an_error(users_database: Database):
    with pytest.raises(ValueError, match="x"):
        async with work_on(users_database):
            raise ValueError("x")
    with pytest.raises(ValueError, match="x"):
        async with users_database.read():
            raise ValueError("x")
    with pytest.raises(DBAPIError):
        async with users_database.read() as connection:
            await connection.execute(text("SELECT 1 / 0"))

    assert not connection_held.get()


async def test_no_connection_is_held_after_a_refused_replay(users_database: Database):
    await create_user(users_database, "once")

    with pytest.raises(ConcurrentReplay):
        await work_on(users_database, "once").__aenter__()

    assert not connection_held.get()
    assert users_database.engine.pool.checkedout() == 0


async def test_no_connection_is_held_when_none_could_be_made(users_database: Database):
    await users_database.close()
    unreachable = Database(
        url=users_database.engine.url.update_query_dict({"host": "/nowhere"}), module="users", keys=KEYS
    )

    with pytest.raises(OSError, match="No such file"):
        await work_on(unreachable).__aenter__()

    assert not connection_held.get()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("kind", KINDS)
async def test_no_module_is_called_while_a_connection_is_held(users_database: Database, transport: str, kind: str):
    async with serving(transport, handlers(echo)) as served:
        method = getattr(module_channel(served), kind)(path_of(kind))

        async with work_on(users_database):
            with pytest.raises(ConnectionHeld, match=f"{path_of(kind)} was called while a database connection"):
                method([b""])
        async with users_database.read():
            with pytest.raises(ConnectionHeld, match="call before opening it"):
                method([b""])

        call = method([b""] if kind.startswith("stream") else b"")
        assert await (call.read() if kind.endswith("stream") else call) == b""


# Requests that come again


async def test_a_request_that_came_before_is_known_by_its_resource(users_database: Database):
    user_id = await create_user(users_database, "once")

    assert await work_on(users_database, "once").replayed() == user_id


async def test_a_new_request_is_not_known(users_database: Database):
    await create_user(users_database, "once")

    assert await work_on(users_database, "twice").replayed() is None


async def test_a_request_without_an_id_is_never_known(users_database: Database):
    await create_user(users_database)
    await create_user(users_database)

    assert await work_on(users_database).replayed() is None
    assert await users_in(users_database) == 2


async def test_a_request_that_was_rolled_back_is_not_known(users_database: Database):
    async with work_on(users_database, "once") as work:
        await request("once").remember(work.connection, await add_user(work))

    assert await work_on(users_database, "once").replayed() is None


async def test_refuses_the_id_of_a_request_with_another_body(users_database: Database):
    await create_user(users_database, "once")
    other = work_on(users_database, "once", body="b")

    with pytest.raises(RequestIdReused):
        await other.replayed()
    with pytest.raises(RequestIdReused):
        await other.__aenter__()

    assert not connection_held.get()


@pytest.mark.parametrize("other", [{"actor": "bob"}, {"method": "/aura.users.v1.UserService/DropUser"}])
async def test_another_actor_or_method_with_the_same_id_is_another_request(users_database: Database, other: Any):
    first = await create_user(users_database, "once")

    second = await create_user(users_database, "once", body="b", **other)

    assert await work_on(users_database, "once").replayed() == first
    assert await work_on(users_database, "once", body="b", **other).replayed() == second
    assert first != second


async def test_a_request_is_known_for_a_day(users_database: Database):
    user_id = await create_user(users_database, "once")

    await let_time_pass(users_database, timedelta(hours=23, minutes=59))

    assert await work_on(users_database, "once").replayed() == user_id


async def test_after_a_day_an_id_can_be_used_again(users_database: Database):
    await create_user(users_database, "once")
    await let_time_pass(users_database, timedelta(hours=24))

    unknown = await work_on(users_database, "once", body="b").replayed()
    second = await create_user(users_database, "once", body="b")

    assert unknown is None
    assert await work_on(users_database, "once", body="b").replayed() == second


async def test_what_is_older_than_a_day_can_be_cleared_away(users_database: Database):
    await create_user(users_database, "old")
    await let_time_pass(users_database, timedelta(hours=24))
    await create_user(users_database, "new")

    async with users_database.engine.begin() as connection:
        forgotten = await forget_expired(connection, TABLE)
    async with users_database.read() as connection:
        kept = (await connection.execute(select(TABLE.c.request_id))).scalars().all()

    assert (forgotten, kept) == (1, ["new"])


async def test_no_answer_is_stored(users_database: Database):
    await create_user(users_database, "once", body="secret")

    async with users_database.read() as connection:
        row = (await connection.execute(select(TABLE))).one()

    assert set(row._mapping) == {"actor", "method", "request_id", "fingerprint", "resource_id", "create_time"}
    assert b"secret" not in row.fingerprint


async def test_of_two_same_requests_at_the_same_time_one_does_the_work(users_database: Database):
    async with work_on(users_database, "once") as first:
        second = asyncio.create_task(work_on(users_database, "once").__aenter__())
        await asyncio.sleep(0.1)
        waited = not second.done()
        await first.commit(await add_user(first))

    with pytest.raises(ConcurrentReplay):
        await second
    assert waited
    assert await users_in(users_database) == 1


async def test_of_ten_same_requests_at_the_same_time_one_does_the_work(users_database: Database):
    outcomes = await asyncio.gather(*(create_user(users_database, "once") for _ in range(10)), return_exceptions=True)

    made = [outcome for outcome in outcomes if isinstance(outcome, UUID)]
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, UUID)] == [ConcurrentReplay] * 9
    assert await work_on(users_database, "once").replayed() == made[0]
    assert await users_in(users_database) == 1


async def test_when_the_first_of_two_same_requests_fails_the_second_does_the_work(users_database: Database):
    async with work_on(users_database, "once"):
        second = asyncio.create_task(create_user(users_database, "once"))
        await asyncio.sleep(0.1)
        assert not second.done()

    made = await second
    assert await work_on(users_database, "once").replayed() == made


async def test_other_requests_do_not_wait(users_database: Database):
    async with work_on(users_database, "one"):
        await asyncio.wait_for(create_user(users_database, "two"), 5)

    assert await users_in(users_database) == 1
