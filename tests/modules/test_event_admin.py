"""What an operator sees of events, and does about those that cannot be handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from dishka import Provider, Scope
from sqlalchemy import URL

from aura.kernel.events.relay_settings import RelaySettings
from aura.mentalhealth.api.subscribers import UserDeactivatedSubscriber
from aura.mentalhealth.application.use_cases.release_user import ReleaseUser
from generated.aura.events.v1 import event_admin_service_pb2 as pb
from generated.aura.mentalhealth.v1 import therapy_session_pb2
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import GetTherapySessionRequest
from generated.aura.users.v1.user_service_pb2 import DeactivateUserRequest, ReactivateUserRequest
from tests.support.events import until_handled
from tests.support.failures import failure_of
from tests.support.platform import Platform, running_platform

FAST = RelaySettings(poll=0.05, attempts=3, first_pause=0.01, longest_pause=0.02)
ABSENT = "0190a000-0000-7000-8000-000000000001"
MODULES = ("users", "mentalhealth")


class Breakable:
    """Whether the subscriber is broken now."""

    def __init__(self) -> None:
        self.broken = True


@pytest.fixture
def breakable() -> Breakable:
    return Breakable()


@pytest.fixture
async def platform(database_url: URL, tmp_path: Path, breakable: Breakable) -> AsyncIterator[Platform]:
    class Broken(UserDeactivatedSubscriber):
        async def handle(self, event: Any) -> None:
            if breakable.broken:
                raise ValueError("Ada told me that she cannot sleep")
            await super().handle(event)

    def make(release: ReleaseUser) -> UserDeactivatedSubscriber:
        return Broken(release=release)

    provider = Provider(scope=Scope.REQUEST)
    provider.provide(make, provides=UserDeactivatedSubscriber)
    async with running_platform(
        database_url, tmp_path, overrides={"mentalhealth": (provider,)}, relay_settings=FAST
    ) as platform:
        yield platform


async def dead_letter(platform: Platform) -> tuple[Any, pb.DeadLetter]:
    """A session of somebody whose deactivation cannot be handled, and the dead letter that came of it."""
    session = await platform.schedule()
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=session.patient_id, reason="moved away"))
    async with asyncio.timeout(10):
        while not (found := await platform.events.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return session, found.dead_letters[0]


async def state_of(platform: Platform, session: Any) -> int:
    request = GetTherapySessionRequest(session_id=session.session_id)
    return (await platform.sessions.GetTherapySession(request)).state


async def test_a_dead_letter_tells_how_it_failed_and_not_with_what_words(platform: Platform):
    session, dead = await dead_letter(platform)
    await platform.users.ReactivateUser(ReactivateUserRequest(user_id=session.patient_id, reason="back"))

    (again,) = (await platform.events.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters

    assert (dead.type, dead.subject, dead.source, dead.subscriber) == (
        "user.deactivated",
        session.patient_id,
        "users",
        "mentalhealth",
    )
    assert (dead.attempts, dead.code, dead.reason, dead.held_back) == (3, "INTERNAL", "INTERNAL", 0)
    assert len(dead.trace_id) == 32
    assert again.held_back == 1
    assert "sleep" not in str(again)


async def test_after_the_fix_a_replay_restores_everything_in_order(
    platform: Platform, breakable: Breakable, database_url: URL
):
    session, _ = await dead_letter(platform)
    await platform.users.ReactivateUser(ReactivateUserRequest(user_id=session.patient_id, reason="back"))
    breakable.broken = False

    answer = await platform.events.ReplayDeadLetters(pb.ReplayDeadLettersRequest())
    await until_handled(database_url, MODULES)

    assert answer.count == 1
    assert await state_of(platform, session) == therapy_session_pb2.THERAPY_SESSION_STATE_CANCELLED
    request = await platform.booking()
    request.patient_id = session.patient_id
    await platform.sessions.ScheduleTherapySession(request)
    assert not (await platform.events.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters


async def test_a_replay_before_the_fix_comes_to_the_same(platform: Platform):
    _, first = await dead_letter(platform)

    await platform.events.ReplayDeadLetters(pb.ReplayDeadLettersRequest(filter={"event_id": first.event_id}))
    async with asyncio.timeout(10):
        while not (found := await platform.events.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    assert found.dead_letters[0].event_id == first.event_id
    assert found.dead_letters[0].attempts == 3


async def test_a_discarded_event_is_passed_over_and_what_it_held_back_goes_on(
    platform: Platform, breakable: Breakable, database_url: URL
):
    session, dead = await dead_letter(platform)
    await platform.users.ReactivateUser(ReactivateUserRequest(user_id=session.patient_id, reason="back"))
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=session.patient_id, reason="gone again"))
    breakable.broken = False

    request = pb.DiscardDeadLettersRequest(filter={"subject": session.patient_id})
    answer = await platform.events.DiscardDeadLetters(request)
    await until_handled(database_url, MODULES)

    assert answer.count == 1
    assert await state_of(platform, session) == therapy_session_pb2.THERAPY_SESSION_STATE_CANCELLED
    details = await platform.events.GetEvent(pb.GetEventRequest(event_id=dead.event_id))
    assert not details.unfinished


async def test_discarding_everything_must_be_meant(platform: Platform):
    failure = await failure_of(platform.events.DiscardDeadLetters(pb.DiscardDeadLettersRequest(filter={})))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == ["filter"]


@pytest.mark.parametrize(
    "chosen", [{"source": "mentalhealth"}, {"subscriber": "users"}, {"subject": "x"}, {"event_id": ABSENT}]
)
async def test_others_are_left_alone(platform: Platform, chosen: dict[str, str]):
    await dead_letter(platform)

    assert not (await platform.events.ListDeadLetters(pb.ListDeadLettersRequest(filter=chosen))).dead_letters
    assert (await platform.events.ReplayDeadLetters(pb.ReplayDeadLettersRequest(filter=chosen))).count == 0
    assert (await platform.events.DiscardDeadLetters(pb.DiscardDeadLettersRequest(filter=chosen))).count == 0


async def test_the_lag_of_each_subscription_is_seen(platform: Platform):
    await dead_letter(platform)

    lag, own = (await platform.events.GetEventLag(pb.GetEventLagRequest())).subscriptions

    assert (lag.source, lag.subscriber, lag.waiting, lag.dead) == ("users", "mentalhealth", 1, 1)
    assert 0 < lag.lag_seconds < 60
    assert (own.source, own.subscriber, own.waiting) == ("users", "users", 0)


async def test_an_event_is_shown_with_how_far_it_has_come(platform: Platform):
    session, dead = await dead_letter(platform)

    details = await platform.events.GetEvent(pb.GetEventRequest(event_id=dead.event_id))
    absent = await failure_of(platform.events.GetEvent(pb.GetEventRequest(event_id=ABSENT)))

    assert (details.event.type, details.event.subject) == ("user.deactivated", session.patient_id)
    (delivery,) = details.unfinished
    assert (delivery.subscriber, delivery.sequence, delivery.attempts, delivery.dead) == ("mentalhealth", 1, 3, True)
    assert (absent.code, absent.reason) == (grpc.StatusCode.NOT_FOUND, "EVENT_NOT_FOUND")


async def test_events_are_followed_as_they_are_published(platform: Platform):
    every = platform.events.TailEvents(pb.TailEventsRequest(), timeout=20)
    some = platform.events.TailEvents(pb.TailEventsRequest(type="therapy_session.scheduled"), timeout=20)
    await asyncio.sleep(0.5)

    session = await platform.schedule()

    seen = [await every.read() for _ in range(3)]
    only = await some.read()
    every.cancel()
    some.cancel()
    assert sorted(event.type for event in seen) == ["therapy_session.scheduled", "user.registered", "user.registered"]
    assert only.subject == session.session_id
