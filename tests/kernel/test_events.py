"""A module's outbox and relay on a real database, with a transport that does as the test says."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import URL, text

from aura.kernel.audit import AuditTrail
from aura.kernel.database import Database, as_aura_error
from aura.kernel.errors import AuraError, Internal, Unavailable
from aura.kernel.events import outbox as outbox_module
from aura.kernel.events import relay as relay_module
from aura.kernel.events.inbox import NO_DELIVERY
from aura.kernel.events.log import EventLog
from aura.kernel.events.outbox import Outbox, UndeclaredEvent
from aura.kernel.events.relay import Relay
from aura.kernel.events.relay_settings import RelaySettings
from aura.kernel.events.subscriptions import Subscription, sync_subscriptions
from aura.kernel.events.types import NotAnEvent
from aura.kernel.idempotency import IdempotentRequest, idempotency_table
from aura.kernel.security.access_changes import AccessChanges
from aura.kernel.unit_of_work import UnitOfWork
from aura.modules import AURA_MODULES
from generated.aura.events.v1 import event_admin_service_pb2 as pb
from generated.aura.events.v1.event_pb2 import Event
from generated.aura.mentalhealth.v1.events_pb2 import TherapySessionEnded
from generated.aura.users.v1.events_pb2 import UserDeactivated, UserReactivated, UserRegistered
from generated.aura.users.v1.user_pb2 import User
from tests.support.cluster import KEYS
from tests.support.cut_connections import cut_connections
from tests.support.services import eventually

SUBSCRIBERS = ("one", "two")
FAST = RelaySettings(lease=3.0, handler_timeout=1.0, poll=0.05, attempts=3, first_pause=0.01, longest_pause=0.05)


@dataclass
class FakeTransport:
    """Takes events as subscribers with an inbox would; fails where it is told to."""

    failure: Callable[[str, Event], AuraError | None] = lambda *_: None
    seconds: float = 0.0
    taken: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    passed_over: list[tuple[str, int]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    async def deliver(self, subscriber: str, event: Event, *, discarded: bool, timeout: float) -> None:  # noqa: ARG002
        self.calls[subscriber] += 1
        await asyncio.sleep(self.seconds)
        if not discarded and (error := self.failure(subscriber, event)) is not None:
            raise error
        if discarded:
            self.passed_over.append((event.subject, event.sequence))
        self.taken[subscriber, event.subject].append(event.sequence)
        self.events.append(event)

    @property
    def count(self) -> int:
        return sum(map(len, self.taken.values()))


class World:
    """The users module's outbox, with two made-up subscribers."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.transport = FakeTransport()

    def work(self) -> UnitOfWork:
        request = IdempotentRequest(
            table=idempotency_table("users"), actor="ada", method="m", request_id="", fingerprint=b""
        )
        outbox = Outbox(module="users", publishes=AURA_MODULES["users"].publishes)
        return UnitOfWork(
            database=self.database,
            request=request,
            outbox=outbox,
            delivery=NO_DELIVERY,
            audit_trail=AuditTrail(module="users", database=self.database),
            access_changes=AccessChanges(),
        )

    async def publish(self, *events: Any, **options: Any) -> None:
        async with self.work() as work:
            for event in events:
                work.publish(event, **options)
            await work.commit()

    def relay(self, transport: Any = None, settings: RelaySettings = FAST) -> Relay:
        outbox = Outbox(module="users", publishes=AURA_MODULES["users"].publishes)
        return Relay(
            module="users",
            database=self.database,
            outbox=outbox,
            transport=transport or self.transport,
            settings=settings,
        )

    @asynccontextmanager
    async def relaying(self, *relays: Relay) -> AsyncIterator[None]:
        running = relays or (self.relay(),)
        for relay in running:
            relay.start()
        try:
            yield
        finally:
            for relay in running:
                await relay.stop()

    async def rows(self, query: str) -> list[Any]:
        return list(await self.database.execute(text(query)))

    async def waiting(self) -> int:
        return (await self.rows("SELECT count(*) AS n FROM users.outbox_deliveries"))[0].n


@pytest.fixture
async def world(database_url: URL, users_database: Database) -> World:
    made = World(users_database)
    subscriptions = [
        Subscription(event_type=kind, subscriber=subscriber)
        for kind in ("user.registered", "user.deactivated")
        for subscriber in SUBSCRIBERS
    ]
    async with _as_owner(database_url) as connection:
        await sync_subscriptions(connection, "users", subscriptions)
    return made


@asynccontextmanager
async def _as_owner(url: URL) -> AsyncIterator[Any]:
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 as the migrator does

    engine = create_async_engine(url)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


def registered(subject: str = "") -> UserRegistered:
    return UserRegistered(user_id=subject or str(uuid4()))


# Publishing


async def test_an_event_lasts_if_the_unit_of_work_does(world: World):
    async with world.work() as work:
        work.publish(registered())
    assert await world.waiting() == 0

    await world.publish(registered())
    assert await world.waiting() == len(SUBSCRIBERS)


async def test_events_are_published_in_a_unit_of_work_only(world: World):
    with pytest.raises(RuntimeError, match="in an open unit of work"):
        world.work().publish(registered())


async def test_only_declared_events_can_be_published(world: World):
    async with world.work() as work:
        with pytest.raises(UndeclaredEvent, match=r"module users may not publish therapy_session\.ended: add it to"):
            work.publish(TherapySessionEnded(session_id="s"))
        with pytest.raises(NotAnEvent, match=r"aura\.users\.v1\.User is no event"):
            work.publish(User())
        with pytest.raises(ValueError, match="lacks its user_id"):
            work.publish(UserRegistered())
        with pytest.raises(ValueError, match="say when it is due"):
            work.publish(registered(), key="k")


async def test_an_event_that_nobody_subscribes_to_is_kept_and_goes_nowhere(world: World):
    await world.publish(UserReactivated(user_id="u"))

    assert await world.waiting() == 0
    assert [row.event_type for row in await world.rows("SELECT event_type FROM users.outbox_events")] == [
        "user.reactivated"
    ]


async def test_concurrent_publishers_leave_no_gap(world: World):
    await asyncio.gather(*(world.publish(registered("a"), registered("b"), registered("a")) for _ in range(20)))

    rows = await world.rows(
        "SELECT subscriber, subject, array_agg(sequence ORDER BY sequence) AS numbers FROM users.outbox_deliveries "
        "GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [(row.subscriber, row.subject, list(row.numbers)) for row in rows] == [
        (subscriber, subject, list(range(1, count + 1)))
        for subscriber in SUBSCRIBERS
        for subject, count in (("a", 40), ("b", 20))
    ]


# Delivering


async def test_each_subscriber_gets_each_event_once_and_in_order(world: World):
    for number in range(30):
        await world.publish(registered(f"s{number % 3}"), UserDeactivated(user_id=f"s{number % 3}"))

    async with world.relaying():
        await eventually(lambda: world.transport.count == 120)
        await asyncio.sleep(0.2)

    assert world.transport.taken == {
        (subscriber, f"s{number}"): list(range(1, 21)) for subscriber in SUBSCRIBERS for number in range(3)
    }
    assert await world.waiting() == 0


async def test_the_envelope_tells_what_happened_and_who_caused_it(world: World):
    await world.publish(UserDeactivated(user_id="u"))

    async with world.relaying():
        await eventually(lambda: world.transport.count == 2)

    event, message = world.transport.events[0], UserDeactivated()
    assert (event.type, event.subject, event.source, event.sequence) == ("user.deactivated", "u", "users", 1)
    assert event.data.Unpack(message)
    assert message == UserDeactivated(user_id="u")
    assert event.actor.user_id == "local"
    assert abs(event.time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(seconds=30)


async def test_unknown_fields_survive(world: World):
    later = UserDeactivated.FromString(UserDeactivated(user_id="u").SerializeToString() + b"\xfa\x01\x03new")
    await world.publish(later)

    async with world.relaying():
        await eventually(lambda: world.transport.count == 2)

    assert b"\xfa\x01\x03new" in world.transport.events[0].data.value


async def test_a_failing_subscriber_holds_back_its_own_subject_only(world: World):
    world.transport.failure = lambda subscriber, event: (
        Internal("x", reason="BROKEN")
        if (subscriber, event.subject) == ("one", "bad") and event.sequence == 2
        else None
    )
    await world.publish(*(registered(subject) for subject in ("bad", "good") for _ in range(3)))

    async with world.relaying():
        await eventually(lambda: world.transport.count == 10)
        await asyncio.sleep(0.5)

    assert world.transport.taken == {
        ("one", "bad"): [1],
        ("one", "good"): [1, 2, 3],
        ("two", "bad"): [1, 2, 3],
        ("two", "good"): [1, 2, 3],
    }
    (dead,) = await world.rows("SELECT * FROM users.outbox_queues WHERE dead_time IS NOT NULL")
    assert (dead.subscriber, dead.subject, dead.next_sequence, dead.attempts) == ("one", "bad", 2, FAST.attempts)
    assert (dead.dead_code, dead.dead_reason) == ("INTERNAL", "BROKEN")
    await world.publish(registered("bad"))
    assert (await world.rows("SELECT due_time FROM users.outbox_queues WHERE dead_time IS NOT NULL"))[
        0
    ].due_time is None


async def test_a_passing_failure_delays_and_changes_nothing(world: World):
    failures = iter([Internal("x"), Internal("x")])
    world.transport.failure = lambda *_: next(failures, None)
    await world.publish(registered("a"), registered("a"))

    async with world.relaying():
        await eventually(lambda: world.transport.count == 4)

    assert set(map(tuple, world.transport.taken.values())) == {(1, 2)}
    assert await world.rows("SELECT 1 FROM users.outbox_queues WHERE dead_time IS NOT NULL") == []


async def test_a_subscriber_that_is_away_costs_no_attempts(world: World):
    away = True
    world.transport.failure = lambda *_: Unavailable("x", reason="MODULE_UNAVAILABLE") if away else None
    await world.publish(registered("a"))

    async with world.relaying():
        await eventually(lambda: world.transport.calls["one"] > FAST.attempts * 3)
        away = False
        await eventually(lambda: world.transport.count == 2)


async def test_a_relay_that_dies_is_replaced_when_its_lease_runs_out(world: World):
    class Dying:
        async def deliver(self, *_: Any, **__: Any) -> None:
            started.set()
            await asyncio.sleep(60)

    started = asyncio.Event()
    await world.publish(registered("a"))
    dying = world.relay(Dying())
    dying.start()
    await started.wait()
    assert dying._task is not None
    dying._task.cancel()
    begin = asyncio.get_running_loop().time()

    async with world.relaying():
        await eventually(lambda: world.transport.count == 2)
    took = asyncio.get_running_loop().time() - begin
    await dying.stop()

    assert took <= FAST.lease + 1


async def test_a_relay_that_stops_leaves_its_work_to_others_at_once(world: World):
    await world.publish(registered("a"))
    async with world.relaying(world.relay(FakeTransport(seconds=30), replace(FAST, lease=60.0))):
        await asyncio.sleep(0.3)
    begin = asyncio.get_running_loop().time()

    async with world.relaying():
        await eventually(lambda: world.transport.count == 2)

    assert asyncio.get_running_loop().time() - begin < 2
    assert [row.attempts for row in await world.rows("SELECT attempts FROM users.outbox_queues")] == [0, 0]


async def test_a_relay_whose_lease_ran_out_changes_nothing(world: World):
    slow, fast = FakeTransport(seconds=1.5), FakeTransport()
    short = RelaySettings(lease=0.5, handler_timeout=0.4, poll=0.05, attempts=5)
    await world.publish(registered("a"))

    async with world.relaying(world.relay(slow, short)):
        await asyncio.sleep(0.7)
        async with world.relaying(world.relay(fast, FAST)):
            await eventually(lambda: fast.count == 2)
            await world.publish(registered("a"))
            await eventually(lambda: fast.count == 4)
            await eventually(lambda: slow.count >= 2)

    assert dict(fast.taken) == {("one", "a"): [1, 2], ("two", "a"): [1, 2]}
    assert await world.waiting() == 0


async def test_many_relays_share_the_work(world: World):
    transports = [FakeTransport(seconds=0.002) for _ in range(3)]
    for number in range(60):
        await world.publish(registered(f"s{number % 20}"))

    async with world.relaying(*(world.relay(transport) for transport in transports)):
        await eventually(lambda: sum(transport.count for transport in transports) >= 120)
        await asyncio.sleep(0.2)

    taken: dict[tuple[str, str], list[int]] = defaultdict(list)
    for transport in transports:
        for key, numbers in transport.taken.items():
            taken[key] += numbers
    assert all(sorted(numbers) == [1, 2, 3] for numbers in taken.values())
    assert len(taken) == 40
    assert sum(transport.count > 0 for transport in transports) > 1


async def test_a_relay_can_be_stopped_at_any_moment(world: World):
    for number in range(60):
        relay = world.relay()
        relay.start()
        await asyncio.sleep(random.uniform(0, 0.02))
        relay.wake()
        if number % 2:
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await relay.stop()
        assert relay._task is not None
        assert relay._task.done()


# Later


async def test_a_scheduled_event_fires_once_when_it_is_due(world: World):
    soon = datetime.now(UTC) + timedelta(seconds=0.6)
    await world.publish(registered("a"), at=soon, key="reminder")

    async with world.relaying(world.relay(), world.relay()):
        await asyncio.sleep(0.2)
        assert world.transport.count == 0
        await eventually(lambda: world.transport.count == 2)
        await asyncio.sleep(0.3)

    assert world.transport.count == 2
    assert await world.rows("SELECT 1 FROM users.scheduled_events") == []


async def test_a_scheduled_event_is_moved_by_its_key(world: World):
    now = datetime.now(UTC)
    await world.publish(registered("old"), at=now, key="reminder")
    await world.publish(registered("new"), at=now + timedelta(seconds=0.3), key="reminder")

    async with world.relaying():
        await eventually(lambda: world.transport.count == 2)

    assert {subject for _, subject in world.transport.taken} == {"new"}


async def test_a_scheduled_event_is_cancelled_by_its_key(world: World):
    await world.publish(registered("a"), at=datetime.now(UTC) + timedelta(seconds=0.2), key="reminder")
    async with world.work() as work:
        work.cancel_scheduled("reminder")
        await work.commit()

    async with world.relaying():
        await asyncio.sleep(0.5)

    assert world.transport.count == 0


# Subscriptions


async def test_a_new_subscriber_begins_now_or_with_what_is_retained(world: World, database_url: URL):
    await world.publish(registered("a"), registered("b"), registered("a"))
    known = [
        Subscription(event_type=kind, subscriber=name)
        for kind in ("user.registered", "user.deactivated")
        for name in SUBSCRIBERS
    ]
    new = [
        Subscription(event_type="user.registered", subscriber="from_now"),
        Subscription(event_type="user.registered", subscriber="from_retained", from_retained=True),
    ]
    async with _as_owner(database_url) as connection:
        await sync_subscriptions(connection, "users", known + new)
    await world.publish(registered("a"))

    async with world.relaying():
        await eventually(lambda: world.transport.count == 4 + 4 + 1 + 4)

    assert world.transport.taken["from_now", "a"] == [1]
    assert world.transport.taken["from_retained", "a"] == [1, 2, 3]
    assert world.transport.taken["from_retained", "b"] == [1]


async def test_finished_events_are_pruned_by_age_and_waiting_ones_are_not(world: World):
    await world.publish(registered("done"))
    async with world.relaying():
        await eventually(lambda: world.transport.count == 2)
    world.transport.failure = lambda *_: Unavailable("x", reason="MODULE_UNAVAILABLE")
    await world.publish(registered("waits"))
    settings = RelaySettings(poll=0.05, retention=-1.0)

    async with world.relaying(world.relay(settings=settings)):
        await asyncio.sleep(0.5)

    assert [row.subject for row in await world.rows("SELECT subject FROM users.outbox_events")] == ["waits"]


# When clocks and connections are not as they should be


async def test_order_and_completeness_do_not_depend_on_the_clock(world: World, monkeypatch: pytest.MonkeyPatch):
    day = 24 * 3600
    for number, shift in enumerate((0, day, -day, 30 * day, 0)):
        milliseconds = int((time.time() + shift) * 1000)
        monkeypatch.setattr(outbox_module, "new_id", lambda made=milliseconds, n=number: UUID(int=made << 80 | n))
        await world.publish(registered("a"))
    monkeypatch.setattr(relay_module.time, "time", lambda: datetime.now(UTC).timestamp() + 365 * day)

    async with world.relaying():
        await eventually(lambda: world.transport.count == 10)

    assert world.transport.taken["one", "a"] == world.transport.taken["two", "a"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("cut", "committed"), [("before", []), ("after", [1])])
async def test_a_connection_lost_in_mid_commit_leaves_change_and_event_or_neither(
    world: World, database_url: URL, cut: str, committed: list[int], tmp_path_factory: pytest.TempPathFactory
):
    async with cut_connections(database_url, tmp_path_factory.mktemp("pg")) as cutting:
        database = Database(url=cutting.url, module="users", keys=KEYS)
        behind = World(database)
        await behind.publish(registered("before"))
        cutting.cut = cut

        with pytest.raises(Exception) as lost:  # noqa: PT011 what it is for the caller is asserted
            await behind.publish(registered("a"))
        await behind.publish(registered("after"))
        await database.close()

    error = as_aura_error(lost.value)
    assert error is not None
    assert (cutting.cuts, error.reason) == (1, "DATABASE_UNAVAILABLE")
    async with world.relaying():
        await eventually(lambda: world.transport.count == 4 + 2 * len(committed))
    assert world.transport.taken["one", "a"] == committed
    assert world.transport.taken["one", "after"] == [1]


# A poisoned event among many


async def test_a_poisoned_event_delays_no_other_subject_and_a_replay_restores_order(
    world: World, database_url: URL, request: pytest.FixtureRequest
):
    events = 10_000 if request.config.getoption("--prove") else 500
    poisoned, cured = f"s{events // 20}", False
    world.transport.failure = lambda _, event: (
        Internal("x") if not cured and event.subject == poisoned and event.sequence == 1 else None
    )
    batch = 100
    for begin in range(0, events, batch):
        await world.publish(*(registered(f"s{number // 2}") for number in range(begin, begin + batch)))

    async with world.relaying(world.relay(settings=replace(FAST, queues_at_a_time=8))):
        await eventually(lambda: world.transport.count == 2 * (events - 2), seconds=300)
        log = EventLog(module="users", database=world.database)
        async with asyncio.timeout(20):
            while len(dead := await log.dead_letters(pb.DeadLetterFilter())) < len(SUBSCRIBERS):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        cured = True
        replayed = await log.replay(pb.DeadLetterFilter(subject=poisoned))
        await eventually(lambda: world.transport.count == 2 * events)

    assert {(each.subject, each.held_back) for each in dead} == {(poisoned, 1)}
    assert replayed == len(SUBSCRIBERS)
    assert set(map(tuple, world.transport.taken.values())) == {(1, 2)}
    assert len(world.transport.taken) == events
