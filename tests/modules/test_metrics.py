"""What Prometheus collects from a process."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dishka import Provider, Scope
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL

from aura.kernel.database import Database
from aura.kernel.events.relay_settings import RelaySettings
from aura.kernel.http.application import FRESH_SECONDS
from aura.mentalhealth.api.subscribers import UserDeactivatedSubscriber
from aura.mentalhealth.application.use_cases.release_user import ReleaseUser
from generated.aura.events.v1 import event_admin_service_pb2 as pb
from generated.aura.users.v1.user_service_pb2 import DeactivateUserRequest
from tests.support.events import until_handled
from tests.support.platform import Platform, running_platform

FAST = RelaySettings(poll=0.05, attempts=3, first_pause=0.01, longest_pause=0.02)
FAILURES = 4  # two that are repeated, and one that is not; then one that is repeated after the replay


@pytest.fixture
async def platform(database_url: URL, tmp_path: Path) -> AsyncIterator[Platform]:
    failures = iter(range(FAILURES))

    class FailsAtFirst(UserDeactivatedSubscriber):
        async def handle(self, event: Any) -> None:
            if next(failures, None) is not None:
                raise ValueError("Ada told me that she cannot sleep")
            await super().handle(event)

    def make(release: ReleaseUser) -> UserDeactivatedSubscriber:
        return FailsAtFirst(release=release)

    provider = Provider(scope=Scope.REQUEST)
    provider.provide(make, provides=UserDeactivatedSubscriber)
    async with running_platform(
        database_url, tmp_path, overrides={"mentalhealth": (provider,)}, relay_settings=FAST, http_port=0
    ) as platform:
        yield platform


async def figures(platform: Platform) -> dict[str, dict[tuple[str, ...], float]]:
    await asyncio.sleep(FRESH_SECONDS)
    text = (await get(platform, "/metrics"))[1]
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("aura_events_") and not sample.name.endswith("_created"):
                name = sample.name.removeprefix("aura_events_")
                found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


async def get(platform: Platform, path: str, method: str = "GET") -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        request = urllib.request.Request(f"{platform.host.http_address}{path}", method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def test_events_are_counted_from_their_publication_to_their_end(platform: Platform, database_url: URL):
    link, own = ("users", "mentalhealth"), {("users", "users"): 0}
    user = await platform.create_patient()
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=user.user_id, reason="moved"))
    await until_handled(database_url, ["users"])

    dead = await figures(platform)
    await platform.events.ReplayDeadLetters(pb.ReplayDeadLettersRequest())
    await until_handled(database_url, ["users"])
    handled = await figures(platform)

    assert dead["published_total"] == {("users", "user.registered"): 1, ("users", "user.deactivated"): 1}
    assert (dead["retried_total"], dead["dead_total"]) == ({link: 2}, {link: 1})
    assert (dead["waiting"], dead["dead_letters"]) == ({link: 1} | own, {link: 1} | own)
    assert 0 < dead["lag_seconds"][link] < 60
    assert "delivered_total" not in dead
    assert (handled["delivered_total"], handled["retried_total"]) == ({link: 1}, {link: 3})
    none = {link: 0} | own
    assert handled["waiting"] == handled["lag_seconds"] == handled["dead_letters"] == none


async def test_figures_hold_no_word_of_what_went_wrong(platform: Platform, database_url: URL):
    user = await platform.create_patient()
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=user.user_id, reason="moved"))
    await until_handled(database_url, ["users"])

    _, text = await get(platform, "/metrics")

    assert user.user_id not in text
    assert "sleep" not in text


async def test_counters_are_told_while_the_database_is_away(
    platform: Platform, database_url: URL, monkeypatch: pytest.MonkeyPatch
):
    await platform.create_patient()

    async def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("away")

    monkeypatch.setattr(Database, "execute", refuse)

    found = await figures(platform)

    assert found["published_total"] == {("users", "user.registered"): 1}
    assert "waiting" not in found


async def test_figures_are_only_read(platform: Platform):
    assert (await get(platform, "/metrics", "POST"))[0] == 405
