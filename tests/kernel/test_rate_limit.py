"""Who calls too often is refused for a moment, and nobody else."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.interceptors.call import Call, Method
from aura.kernel.interceptors.rate_limit import BURST_SECONDS, Buckets, RateLimit, RateLimited
from aura.kernel.networks import network_of
from aura.kernel.security.actor import Actor
from generated.aura.users.v1.authentication_service_pb2 import GetJwksRequest
from tests.support.failures import failure_of
from tests.support.platform import running_platform

METHOD = Method(path="/aura.users.v1.UserService/GetUser", request_streaming=False, response_streaming=False)


class FakeSeconds:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeSeconds:
    return FakeSeconds()


def called(*, source: str = "192.0.2.1", user: str = "", with_token: bool = False, **fields: Any) -> Call:
    forwarded = fields.pop("forwarded", False)
    actor = Actor(user_id=user or "local", source=source, **fields)
    metadata = {"authorization": "Bearer x"} if with_token else {}
    return Call(method=METHOD, context=cast("Any", None), metadata=metadata, actor=actor, forwarded=forwarded)


def limit(clock: FakeSeconds, *, per_peer: float = 0, per_account: float = 0) -> RateLimit:
    return RateLimit(peers=Buckets(per_peer, clock=clock), accounts=Buckets(per_account, clock=clock))


async def admitted(rate_limit: RateLimit, call: Call, *, tries: int) -> int:
    """Returns how many of some calls are let through."""
    count = 0
    for _ in range(tries):
        try:
            await rate_limit.on_call(call)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_bucket_gives_a_burst_and_then_as_many_as_flow_in(clock: FakeSeconds):
    buckets = Buckets(10, clock=clock)

    assert [buckets.take("a") for _ in range(20)] == [0.0] * 20
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 0.1
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(0.1)
    clock.now += 60
    assert [buckets.take("a") for _ in range(21)].count(0.0) == 10 * BURST_SECONDS


def test_a_rate_below_one_in_a_burst_admits_one_call_at_a_time(clock: FakeSeconds):
    buckets = Buckets(0.1, clock=clock)

    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(10)
    clock.now += 10
    assert buckets.take("a") == 0.0


def test_in_the_long_run_no_more_get_through_than_the_rate_says(clock: FakeSeconds):
    buckets, count = Buckets(10, clock=clock), 0
    for _ in range(10_000):
        clock.now += 0.01
        count += not buckets.take("a")

    assert count == pytest.approx(10 * 100 + 10 * BURST_SECONDS, abs=1)


def test_without_a_rate_there_is_no_limit(clock: FakeSeconds):
    buckets = Buckets(0, clock=clock)

    assert {buckets.take("a") for _ in range(10_000)} == {0.0}
    assert len(buckets) == 0


def test_only_so_many_callers_are_remembered_and_the_longest_quiet_is_forgotten_first(clock: FakeSeconds):
    buckets = Buckets(1, clock=clock, remembered=100)
    for caller in ("busy", "quiet"):
        assert [buckets.take(caller) for _ in range(3)].count(0.0) == 2

    for number in range(10_000):
        buckets.take(f"stranger {number}")
        if number < 100:
            assert buckets.take("busy") > 0

    assert len(buckets) == 100
    assert buckets.take("quiet") == 0.0


async def test_the_refusal_says_when_to_try_again_and_then_it_works(clock: FakeSeconds):
    rate_limit, call = limit(clock, per_peer=10), called()
    assert await admitted(rate_limit, call, tries=100) == 20

    with pytest.raises(RateLimited) as caught:
        await rate_limit.on_call(call)

    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.retry_after is not None
    clock.now += caught.value.retry_after.total_seconds()
    await rate_limit.on_call(call)


async def test_other_addresses_are_not_affected(clock: FakeSeconds):
    rate_limit = limit(clock, per_peer=10)
    await admitted(rate_limit, called(), tries=100)

    assert await admitted(rate_limit, called(source="192.0.2.2"), tries=20) == 20


async def test_the_addresses_of_one_ipv6_network_share_a_limit(clock: FakeSeconds):
    rate_limit = limit(clock, per_peer=10)

    shared = sum([await admitted(rate_limit, called(source=f"2001:db8::{n}"), tries=1) for n in range(1, 100)])

    assert shared == 20
    assert await admitted(rate_limit, called(source="2001:db8:0:1::1"), tries=1) == 1


async def test_an_account_has_a_limit_of_its_own_wherever_it_calls_from(clock: FakeSeconds):
    rate_limit = limit(clock, per_peer=1000, per_account=5)
    calls = [called(source=f"192.0.2.{n}", user="ada", with_token=True) for n in range(100)]

    assert sum([await admitted(rate_limit, call, tries=1) for call in calls]) == 10
    assert await admitted(rate_limit, called(user="ben", with_token=True), tries=10) == 10
    assert await admitted(rate_limit, called(user="ada"), tries=10) == 10  # without a token, nobody says that it is Ada


@pytest.mark.parametrize("fields", [{"via_module": "users"}, {"forwarded": True}, {"source": ""}])
async def test_what_comes_from_within_the_platform_is_not_counted(clock: FakeSeconds, fields: dict[str, Any]):
    assert await admitted(limit(clock, per_peer=1), called(**fields), tries=100) == 100


@pytest.mark.alone
def test_costs_less_than_three_microseconds():
    rate_limit = RateLimit(peers=Buckets(1e6), accounts=Buckets(1e6))
    calls = [called(source=f"192.0.2.{n}", user=f"user {n}", with_token=True) for n in range(100)]

    def microseconds() -> float:
        begin = time.perf_counter()
        for call in calls * 20:
            with suppress(StopIteration):
                rate_limit.on_call(call).send(None)
        return (time.perf_counter() - begin) / 2_000 * 1e6

    assert min(microseconds() for _ in range(50)) < 3


@pytest.mark.parametrize(
    ("source", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_the_addresses_of_one_network_are_counted_together(source: str, network: str):
    assert network_of(source) == network


async def test_a_platform_refuses_who_calls_too_often(database_url: URL, tmp_path: Path):
    async with running_platform(database_url, tmp_path, rate_limit_per_peer=5) as platform:
        for _ in range(10):
            await platform.accounts.GetJwks(GetJwksRequest())

        failure = await failure_of(platform.accounts.GetJwks(GetJwksRequest()))

    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert failure.error.retry_after is not None
    assert 0 < failure.error.retry_after.total_seconds() <= 0.2
