"""Two server processes on one database: no two sessions of one person overlap, and nobody is refused for nothing."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import grpc
import pytest

from aura.kernel.rpc_status import from_rpc_error
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import (
    RescheduleTherapySessionRequest,
    ScheduleTherapySessionRequest,
)
from generated.aura.mentalhealth.v1.therapy_session_service_pb2_grpc import TherapySessionServiceStub
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import CreateUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.support.root import root_channel
from tests.support.server_process import ServerProcess, write_secret_key

ROUNDS = 20
MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
Request = ScheduleTherapySessionRequest


@dataclass
class Pair:
    """Two servers, and a channel to each."""

    servers: list[ServerProcess]
    channels: list[grpc.aio.Channel]

    async def create_user(self, role: int) -> str:
        user = User(email=f"{uuid.uuid4()}@example.com", display_name="Ada", roles=[role])
        return (await UserServiceStub(self.channels[0]).CreateUser(CreateUserRequest(user=user))).user_id

    async def schedule(self, server: int, request: Request) -> str:
        """Returns OK or the reason why not."""
        try:
            await TherapySessionServiceStub(self.channels[server]).ScheduleTherapySession(request)
        except grpc.aio.AioRpcError as error:
            return from_rpc_error(error).reason or error.code().name
        return "OK"

    def logs(self) -> str:
        return "".join(server.logs() for server in self.servers)


@pytest.fixture(scope="module")
def servers(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[ServerProcess]]:
    folder = tmp_path_factory.mktemp("two_servers")
    settings = {"database_url": module_url, "secret_key_file": write_secret_key(folder / "key")}
    with ServerProcess(folder / "first", **settings) as first, ServerProcess(folder / "second", **settings) as second:
        first.launch()
        second.launch()
        yield [first.wait_until_serving(), second.wait_until_serving()]


@pytest.fixture
async def pair(servers: list[ServerProcess]) -> AsyncIterator[Pair]:
    addresses = [server.address for server in servers]
    async with root_channel(addresses[0]) as first, root_channel(addresses[1]) as second:
        yield Pair(servers, [first, second])


def booking(therapist: str, patient: str, *, starts: int, minutes: int) -> Request:
    start = MIDNIGHT + timedelta(minutes=starts)
    return Request(
        therapist_id=therapist, patient_id=patient, start_time=start, end_time=start + timedelta(minutes=minutes)
    )


def identical(therapist: str, patients: list[str], number: int) -> list[Request]:
    request = booking(therapist, patients[0], starts=60 * number, minutes=50)
    return [request, request]


def overlapping(therapist: str, patients: list[str], number: int) -> list[Request]:
    return [
        booking(therapist, patients[0], starts=60 * number, minutes=30),
        booking(therapist, patients[1], starts=60 * number + 29, minutes=30),
    ]


@pytest.mark.parametrize("requests_of", [identical, overlapping])
async def test_of_two_bookings_at_the_same_instant_one_succeeds(
    pair: Pair, requests_of: Callable[[str, list[str], int], list[Request]]
):
    therapist = await pair.create_user(ROLE_THERAPIST)
    patients = [await pair.create_user(ROLE_PATIENT) for _ in range(2)]

    outcomes = []
    for number in range(ROUNDS):
        requests = requests_of(therapist, patients, number)
        outcomes.append(sorted(await asyncio.gather(*map(pair.schedule, [0, 1], requests))))

    assert outcomes == [["OK", "SESSION_OVERLAPS"]] * ROUNDS
    assert "[error" not in pair.logs()


async def test_bookings_in_any_order_never_overlap_and_are_never_refused_for_nothing(pair: Pair, module_url: str):
    seed = time.time_ns() % 1_000_000
    chance = random.Random(seed)
    therapists = [await pair.create_user(ROLE_THERAPIST) for _ in range(3)]
    patients = [await pair.create_user(ROLE_PATIENT) for _ in range(3)]
    requests = [
        booking(
            chance.choice(therapists),
            chance.choice(patients),
            starts=chance.randrange(0, 900, 5),
            minutes=chance.randrange(5, 120, 5),
        )
        for _ in range(100)
    ]

    calls = [(server, request) for request in requests for server in (0, 1)]
    chance.shuffle(calls)
    outcomes = await asyncio.gather(*(pair.schedule(server, request) for server, request in calls))

    assert set(outcomes) == {"OK", "SESSION_OVERLAPS"}, f"seed {seed}"
    taken = [session for session in await sessions(module_url) if session.people <= {*therapists, *patients}]
    assert len(taken) == outcomes.count("OK")
    assert [pair for pair in itertools.combinations(taken, 2) if clash(*pair)] == [], f"seed {seed}"
    refused = [as_session(request) for (_, request), outcome in zip(calls, outcomes, strict=True) if outcome != "OK"]
    assert len(refused) >= 100
    assert [each for each in refused if not any(clash(each, other) for other in taken)] == [], f"seed {seed}"
    assert "[error" not in pair.logs()


@dataclass
class Claim:
    """A time that a session may have taken up, from `asked` at the earliest to `given_up` at the latest (seconds)."""

    session: Session
    asked: float
    answered: float = float("inf")
    given_up: float = float("inf")


class Diary:
    """Makes changes and notes when each was asked for and answered, so that each refusal can be judged."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.claims: dict[str, list[Claim]] = {}
        self.refusals: list[tuple[str, Session, float, float]] = []
        self.outcomes: list[str] = []

    async def schedule(self, server: int, request: Request) -> None:
        asked = time.monotonic()
        try:
            session = await TherapySessionServiceStub(self.pair.channels[server]).ScheduleTherapySession(request)
        except grpc.aio.AioRpcError as error:
            self._refused(error, "", as_session(request), asked)
        else:
            self.outcomes.append("OK")
            self.claims[session.session_id] = [Claim(as_session(request), asked, time.monotonic())]

    async def reschedule(self, server: int, session_id: str, starts: int, minutes: int) -> None:
        start = MIDNIGHT + timedelta(minutes=starts)
        people = self.claims[session_id][0].session.people
        wanted = Session(people, start, start + timedelta(minutes=minutes))
        move = RescheduleTherapySessionRequest(
            session_id=session_id, start_time=wanted.start, end_time=wanted.end, reason="trial"
        )
        claim = Claim(wanted, time.monotonic())
        self.claims[session_id].append(claim)  # from now on, it may be there
        try:
            await TherapySessionServiceStub(self.pair.channels[server]).RescheduleTherapySession(move)
        except grpc.aio.AioRpcError as error:
            self.claims[session_id].remove(claim)
            self._refused(error, session_id, wanted, claim.asked)
        else:
            self.outcomes.append("OK")
            claim.answered = time.monotonic()
            for other in self.claims[session_id]:
                if other.answered <= claim.asked:  # of two moves at the same time, either may be the last
                    other.given_up = min(other.given_up, claim.answered)

    def _refused(self, error: grpc.aio.AioRpcError, session_id: str, wanted: Session, asked: float) -> None:
        self.outcomes.append(from_rpc_error(error).reason or error.code().name)
        self.refusals.append((session_id, wanted, asked, time.monotonic()))

    def unfounded(self) -> list[Session]:
        """Returns what was refused although no other session can have been in its way at any moment of the call."""
        return [
            wanted
            for session_id, wanted, asked, answered in self.refusals
            if not any(
                clash(wanted, claim.session) and claim.asked <= answered and claim.given_up >= asked
                for other, claims in self.claims.items()
                if other != session_id
                for claim in claims
            )
        ]


async def test_concurrent_bookings_and_moves_never_overlap_nor_deadlock(pair: Pair, module_url: str, trials: int):
    seed = time.time_ns() % 1_000_000
    chance = random.Random(seed)
    for _ in range(trials):
        people = [[await pair.create_user(role) for _ in range(3)] for role in (ROLE_THERAPIST, ROLE_PATIENT)]
        diary = Diary(pair)
        for number in range(20):
            request = booking(*map(chance.choice, people), starts=30 * number, minutes=30)
            await diary.schedule(number % 2, request)

        def change(known: list[str]) -> Coroutine[Any, Any, None]:
            server, starts, minutes = chance.randrange(2), chance.randrange(0, 900, 5), chance.randrange(5, 120, 5)
            if chance.random() < 0.5:
                request = booking(*map(chance.choice, people), starts=starts, minutes=minutes)  # noqa: B023 run at once
                return diary.schedule(server, request)  # noqa: B023 run at once
            return diary.reschedule(server, chance.choice(known), starts, minutes)  # noqa: B023 run at once

        known = list(diary.claims)
        await asyncio.gather(*(change(known) for _ in range(200)))

        everybody = {person for group in people for person in group}
        taken = [session for session in await sessions(module_url) if session.people <= everybody]
        assert set(diary.outcomes) == {"OK", "SESSION_OVERLAPS"}, f"seed {seed}"
        assert [both for both in itertools.combinations(taken, 2) if clash(*both)] == [], f"seed {seed}"
        assert len(taken) == len(diary.claims)
        assert diary.unfounded() == [], f"seed {seed}"
        assert diary.refusals
    assert "[error" not in pair.logs()


@dataclass(frozen=True)
class Session:
    people: frozenset[str]
    start: datetime
    end: datetime


def clash(one: Session, other: Session) -> bool:
    return bool(one.people & other.people) and one.start < other.end and other.start < one.end


def as_session(request: Request) -> Session:
    return Session(
        frozenset({request.therapist_id, request.patient_id}),
        request.start_time.ToDatetime(tzinfo=UTC),
        request.end_time.ToDatetime(tzinfo=UTC),
    )


async def sessions(url: str) -> list[Session]:
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = await connection.fetch("SELECT * FROM mentalhealth.therapy_sessions")
    finally:
        await connection.close()
    return [
        Session(frozenset({str(row["therapist_id"]), str(row["patient_id"])}), row["start_time"], row["end_time"])
        for row in rows
    ]


def test_sees_a_clash():
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    hour = timedelta(hours=1)
    session = Session(frozenset({"t", "p"}), monday, monday + hour)

    assert clash(session, Session(frozenset({"t", "q"}), monday + hour / 2, monday + 2 * hour))
    assert not clash(session, Session(frozenset({"t", "q"}), monday + hour, monday + 2 * hour))
    assert not clash(session, Session(frozenset({"u", "q"}), monday, monday + hour))
