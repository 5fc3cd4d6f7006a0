"""Whoever guesses is locked out: on every path, by all processes together, and for a while only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.users.errors import TooManyLogins
from aura.users.services.password_hasher import PasswordHasher
from aura.users.services.throttle import ACCOUNT, MAIL, SOURCE
from generated.aura.users.v1 import authentication_service_pb2 as pb
from tests.support.accounts import PASSWORD, FakeMailer, audited, bearer, codes_of, set_password
from tests.support.failures import failure_of
from tests.support.platform import Platform, running_platform
from tests.support.services import eventually
from tests.users.api.conftest import QUICK

EMAIL = "ada@example.com"
REFUSED = {"CREDENTIALS_INVALID", "CODE_INVALID", "SECOND_FACTOR_REQUIRED"}
CREDENTIALS, MAILED_CODES = ("login.failed", "reauthentication.failed"), ("code.refused",)


@pytest.fixture
async def two(database_url: URL, tmp_path: Path, mailer: FakeMailer) -> AsyncIterator[list[Platform]]:
    """Two hosts of the platform on one database, with one clock."""
    async with running_platform(database_url, tmp_path, overrides=mailer.providers(), **QUICK) as first:
        options = {"overrides": mailer.providers(), "clock": first.clock, **QUICK}
        async with running_platform(database_url, tmp_path, **options) as second:
            yield [first, second]


async def ada(platform: Platform, url: URL) -> tuple[str, pb.TokenPair, str]:
    """A user with a password and an authenticator app: her id, her tokens, and the secret."""
    user = await platform.create_user(1, email=EMAIL)
    await set_password(url, user.user_id)
    tokens = await platform.accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD))
    token = bearer(tokens.access_token)
    enrolled = await platform.accounts.EnrollTotp(pb.EnrollTotpRequest(password=PASSWORD), metadata=token)
    code = codes_of(enrolled.secret, platform.clock.now().timestamp())
    await platform.accounts.ConfirmTotp(pb.ConfirmTotpRequest(code=code), metadata=token)
    return user.user_id, tokens, enrolled.secret


def attempts(tokens: pb.TokenPair) -> list[Any]:
    """A way to guess on each path."""
    token = bearer(tokens.access_token)
    recovery = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"
    return [
        lambda to: to.Login(pb.LoginRequest(email=EMAIL, password="wrong")),
        lambda to: to.Login(pb.LoginRequest(email="ADA@example.com", password=PASSWORD, code="000000")),
        lambda to: to.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD, code=recovery)),
        lambda to: to.ResetPassword(pb.ResetPasswordRequest(email=EMAIL, code="WRONG", new_password="a quiet lake")),
        lambda to: to.VerifyEmail(pb.VerifyEmailRequest(email=EMAIL, code="WRONG", password="wrong")),
        lambda to: to.ChangePassword(
            pb.ChangePasswordRequest(current_password="wrong", new_password="a quiet lake"), metadata=token
        ),
        lambda to: to.EnrollTotp(pb.EnrollTotpRequest(password="wrong"), metadata=token),
        lambda to: to.DisableTotp(pb.DisableTotpRequest(password="wrong", code="000000"), metadata=token),
    ]


async def looked_at(url: URL, since: int, *actions: str) -> int:
    """How many of the attempts that failed were looked at, rather than refused because there were too many."""
    entries = [details for action, _, details in (await audited(url))[since:] if action in actions]
    return sum(details.get("why") in {"credentials", "code", "code missing", "password"} for details in entries)


async def test_no_more_attempts_are_looked_at_than_allowed_whatever_the_path(two: list[Platform], database_url: URL):
    _, tokens, secret = await ada(two[0], database_url)
    before = len(await audited(database_url))
    ways, processes = itertools.cycle(attempts(tokens)), itertools.cycle(two)

    calls = [failure_of(way(next(processes).accounts)) for way in itertools.islice(ways, 5 * ACCOUNT.attempts)]
    failures = await asyncio.gather(*calls)

    assert {failure.reason for failure in failures} <= REFUSED
    assert 0 < await looked_at(database_url, before, *CREDENTIALS) <= ACCOUNT.attempts
    assert 0 < await looked_at(database_url, before, *MAILED_CODES) <= ACCOUNT.attempts
    code = codes_of(secret, two[0].clock.now().timestamp() + 30)
    for platform in two:
        locked = await failure_of(platform.accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD, code=code)))
        assert locked.reason == "CREDENTIALS_INVALID"


async def test_a_right_password_does_not_clear_the_way_for_guessing_codes(two: list[Platform], database_url: URL):
    _, tokens, _ = await ada(two[0], database_url)
    token = bearer(tokens.access_token)
    before = len(await audited(database_url))

    for number in range(2 * ACCOUNT.attempts):
        accounts = two[number % 2].accounts
        request = pb.DisableTotpRequest(password=PASSWORD, code=f"{number:06}")
        assert (await failure_of(accounts.DisableTotp(request, metadata=token))).reason == "CREDENTIALS_INVALID"
        enroll = accounts.EnrollTotp(pb.EnrollTotpRequest(password=PASSWORD), metadata=token)
        assert (await failure_of(enroll)).reason in {"TOTP_ENABLED", "CREDENTIALS_INVALID"}

    assert 0 < await looked_at(database_url, before, *CREDENTIALS) <= ACCOUNT.attempts


async def test_who_is_locked_out_gets_in_again_with_a_new_password(
    accounts: Platform, mailer: FakeMailer, database_url: URL
):
    user = await accounts.create_user(1, email=EMAIL)
    await set_password(database_url, user.user_id)
    for _ in range(ACCOUNT.attempts):
        await failure_of(accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password="forgotten")))
    for _ in range(MAIL.attempts):
        request = pb.RegisterRequest(email=EMAIL, password="a strangers password", display_name="Eve")
        await accounts.accounts.Register(request)

    await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=EMAIL))
    await eventually(lambda: any(mail.code for mail in mailer.sent))
    request = pb.ResetPasswordRequest(email=EMAIL, code=mailer.code(EMAIL), new_password="a quiet lake")
    await accounts.accounts.ResetPassword(request)

    assert await accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password="a quiet lake"))


async def test_an_attempt_that_could_not_be_looked_at_does_not_count(
    accounts: Platform, database_url: URL, monkeypatch: pytest.MonkeyPatch
):
    async def busy(*_: Any) -> bool:
        raise TooManyLogins

    with monkeypatch.context() as patched:
        patched.setattr(PasswordHasher, "verify", busy)
        for _ in range(2 * ACCOUNT.attempts):
            failure = await failure_of(accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password="wrong")))
            assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_LOGINS")

    assert set((await _throttles(database_url)).values()) == {0}


async def test_the_lock_lifts_by_itself(two: list[Platform], database_url: URL):
    _, _, secret = await ada(two[0], database_url)
    for _ in range(ACCOUNT.attempts):
        await failure_of(two[0].accounts.Login(pb.LoginRequest(email=EMAIL, password="wrong")))

    async def right() -> Any:
        code = codes_of(secret, two[1].clock.now().timestamp())
        return two[1].accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD, code=code))

    two[1].clock.advance(ACCOUNT.pause - timedelta(seconds=1))
    still = await failure_of(await right())
    two[1].clock.advance(timedelta(seconds=2))
    tokens = await (await right())

    assert still.reason == "CREDENTIALS_INVALID"
    assert tokens.access_token


async def test_a_stranger_cannot_prolong_the_lock(accounts: Platform, database_url: URL):
    user = await accounts.create_user(1, email=EMAIL)
    await set_password(database_url, user.user_id)
    for _ in range(2 * ACCOUNT.attempts):
        await failure_of(accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password="wrong")))
        accounts.clock.advance(timedelta(seconds=30))

    accounts.clock.advance(ACCOUNT.pause - ACCOUNT.attempts * timedelta(seconds=30) + timedelta(seconds=31))

    assert await accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD))


async def test_a_success_forgets_the_failures_before(accounts: Platform, database_url: URL):
    user = await accounts.create_user(1, email=EMAIL)
    await set_password(database_url, user.user_id)
    for _ in range(3):
        for _ in range(ACCOUNT.attempts - 1):
            await failure_of(accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password="wrong")))
        assert await accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD))


async def test_unknown_addresses_are_locked_like_others(accounts: Platform, database_url: URL):
    before = len(await audited(database_url))
    for _ in range(ACCOUNT.attempts + 3):
        await failure_of(accounts.accounts.Login(pb.LoginRequest(email="nobody@example.com", password="wrong")))

    whys = [details["why"] for _, _, details in (await audited(database_url))[before:]]

    assert whys == ["credentials"] * ACCOUNT.attempts + ["locked"] * 3


async def test_a_source_is_locked_out_of_all_accounts_and_locks_none(accounts: Platform, database_url: URL):
    user = await accounts.create_user(1, email=EMAIL)
    await set_password(database_url, user.user_id)
    spread = (f"somebody{number // 5}@example.com" for number in itertools.count())
    for email in itertools.islice(spread, SOURCE.attempts):
        await failure_of(accounts.accounts.Login(pb.LoginRequest(email=email, password="wrong")))

    request = pb.RegisterRequest(email=EMAIL, password="a quiet lake", display_name="Ada")
    for _ in range(ACCOUNT.attempts + 1):
        login = accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD))
        failures = [await failure_of(login), await failure_of(accounts.accounts.Register(request))]
        assert {failure.code for failure in failures} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert {failure.reason for failure in failures} == {"TOO_MANY_ATTEMPTS"}
        assert {failure.error.retry_after for failure in failures} == {SOURCE.pause}

    keys = await _throttles(database_url)
    assert keys["source/127.0.0.1"] > SOURCE.attempts
    assert [action for action, _, _ in await audited(database_url)].count("source.locked") == 1
    accounts.clock.advance(SOURCE.pause)
    assert await accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD))


async def test_addresses_are_not_kept_with_the_counts(accounts: Platform, database_url: URL):
    await failure_of(accounts.accounts.Login(pb.LoginRequest(email=EMAIL, password="wrong")))

    assert not [key for key in await _throttles(database_url) if "ada" in key]


async def test_mail_to_an_address_is_limited(accounts: Platform, mailer: FakeMailer, database_url: URL):
    await accounts.create_user(1, email=EMAIL)
    for _ in range(8):
        await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=EMAIL))
    async with asyncio.timeout(10):
        while len(mailer.sent) < 5:  # noqa: ASYNC110 the relay tells nobody
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)

    assert len(mailer.sent) == 5


async def _throttles(url: URL) -> dict[str, int]:
    connection = await asyncpg.connect(sync_url(url))
    try:
        return {row["key"]: row["attempts"] for row in await connection.fetch("SELECT * FROM users.throttles")}
    finally:
        await connection.close()
