"""Authenticator apps and recovery codes."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from generated.aura.users.v1 import authentication_service_pb2 as pb
from tests.support.accounts import PASSWORD, audited, bearer, codes_of
from tests.support.failures import failure_of
from tests.support.platform import Platform
from tests.users.api.conftest import SignIn

EMAIL = "ada@example.com"


class Ada:
    """A user with an authenticator app."""

    def __init__(self, platform: Platform, tokens: pb.TokenPair) -> None:
        self.platform = platform
        self.token = bearer(tokens.access_token)
        self.user_id = tokens.user_id
        self.secret, self.recovery_codes = "", list[str]()

    async def enroll(self) -> pb.EnrollTotpResponse:
        request = pb.EnrollTotpRequest(password=PASSWORD)
        enrolled = await self.platform.accounts.EnrollTotp(request, metadata=self.token)
        self.secret = enrolled.secret
        return enrolled

    async def confirm(self) -> None:
        request = pb.ConfirmTotpRequest(code=self.code())
        answer = await self.platform.accounts.ConfirmTotp(request, metadata=self.token)
        self.recovery_codes = list(answer.recovery_codes)

    def code(self, seconds: float = 0) -> str:
        """What the app shows so many seconds from now."""
        return codes_of(self.secret, self.platform.clock.now().timestamp() + seconds)

    def login(self, code: str = "") -> Any:
        return self.platform.accounts.Login(pb.LoginRequest(email=EMAIL, password=PASSWORD, code=code))

    def disable(self, code: str, password: str = PASSWORD) -> Any:
        request = pb.DisableTotpRequest(password=password, code=code)
        return self.platform.accounts.DisableTotp(request, metadata=self.token)


@pytest.fixture
async def ada(accounts: Platform, sign_in: SignIn) -> Ada:
    made = Ada(accounts, await sign_in(email=EMAIL))
    await made.enroll()
    await made.confirm()
    accounts.clock.advance(timedelta(seconds=30))
    return made


async def test_the_app_is_asked_for_once_it_is_confirmed(accounts: Platform, sign_in: SignIn):
    ada = Ada(accounts, await sign_in(email=EMAIL))
    enrolled = await ada.enroll()
    assert await ada.login()
    await ada.confirm()

    assert enrolled.uri.startswith("otpauth://totp/Aura:ada%40example.com?")
    assert f"secret={enrolled.secret}" in enrolled.uri
    assert (await failure_of(ada.login())).reason == "SECOND_FACTOR_REQUIRED"
    assert await ada.login(ada.code(30))


async def test_who_does_not_know_the_password_is_not_asked_for_a_code(ada: Ada):
    request = pb.LoginRequest(email=EMAIL, password="wrong")

    assert (await failure_of(ada.platform.accounts.Login(request))).reason == "CREDENTIALS_INVALID"


@pytest.mark.parametrize(("seconds", "is_good"), [(-60, False), (-30, False), (0, True), (30, True), (61, False)])
async def test_a_code_is_good_near_its_time_and_after_the_last_one_used(ada: Ada, seconds: int, is_good: bool):  # noqa: FBT001 an expectation
    call = ada.login(ada.code(seconds))  # the confirmation used the one before

    assert (await call.code()).name == ("OK" if is_good else "UNAUTHENTICATED")


async def test_a_code_is_good_once_even_for_many_at_once(ada: Ada):
    codes = await asyncio.gather(*(ada.login(ada.code()).code() for _ in range(8)))

    assert sorted(code.name for code in codes) == ["OK"] + ["UNAUTHENTICATED"] * 7


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "-12345", "0x1234", "12 456"])
async def test_other_codes_are_none(ada: Ada, code: str):
    assert (await failure_of(ada.login(code))).reason in {"CREDENTIALS_INVALID", "SECOND_FACTOR_REQUIRED"}


async def test_each_recovery_code_takes_its_place_once(ada: Ada):
    assert len(set(ada.recovery_codes)) == 10
    for code in ada.recovery_codes[:2]:
        assert await ada.login(code.lower().replace("-", " "))
        assert (await failure_of(ada.login(code))).reason == "CREDENTIALS_INVALID"


async def test_it_can_be_done_without_again(ada: Ada, database_url: URL):
    wrong = await failure_of(ada.disable("000000"))
    stranger = await failure_of(ada.disable(ada.code(), "wrong"))
    await ada.disable(ada.code())
    again = await failure_of(ada.disable(ada.code()))

    assert wrong.reason == stranger.reason == "CREDENTIALS_INVALID"
    assert again.reason == "TOTP_NOT_ENROLLED"
    assert await ada.login()
    actions = [action for action, subject, _ in await audited(database_url) if subject == ada.user_id]
    assert actions.count("totp.enabled") == actions.count("totp.disabled") == 1
    assert await _count(database_url, "recovery_codes") == 0


async def test_it_is_not_set_up_twice(ada: Ada):
    enroll = ada.platform.accounts.EnrollTotp(pb.EnrollTotpRequest(password=PASSWORD), metadata=ada.token)
    confirm = ada.platform.accounts.ConfirmTotp(pb.ConfirmTotpRequest(code=ada.code()), metadata=ada.token)

    assert (await failure_of(enroll)).reason == "TOTP_ENABLED"
    assert (await failure_of(confirm)).reason == "TOTP_ENABLED"


async def test_of_confirmations_at_once_one_succeeds(accounts: Platform, sign_in: SignIn):
    ada = Ada(accounts, await sign_in(email=EMAIL))
    await ada.enroll()
    request = pb.ConfirmTotpRequest(code=ada.code())

    calls = [accounts.accounts.ConfirmTotp(request, metadata=ada.token).code() for _ in range(5)]

    assert sorted(code.name for code in await asyncio.gather(*calls)) == ["FAILED_PRECONDITION"] * 4 + ["OK"]


async def test_it_is_confirmed_by_a_right_code_only(accounts: Platform, sign_in: SignIn):
    ada = Ada(accounts, await sign_in(email=EMAIL))
    early = accounts.accounts.ConfirmTotp(pb.ConfirmTotpRequest(code="000000"), metadata=ada.token)
    assert (await failure_of(early)).reason == "TOTP_NOT_ENROLLED"
    await ada.enroll()

    wrong = accounts.accounts.ConfirmTotp(pb.ConfirmTotpRequest(code="000000"), metadata=ada.token)

    assert (await failure_of(wrong)).reason == "CREDENTIALS_INVALID"
    assert await ada.login()


@pytest.mark.parametrize(
    "call",
    [
        lambda to: to.EnrollTotp(pb.EnrollTotpRequest(password=PASSWORD)),
        lambda to: to.ConfirmTotp(pb.ConfirmTotpRequest(code="000000")),
        lambda to: to.DisableTotp(pb.DisableTotpRequest(password=PASSWORD, code="000000")),
        lambda to: to.ChangePassword(pb.ChangePasswordRequest(current_password="x", new_password="y")),
        lambda to: to.Logout(pb.LogoutRequest()),
    ],
)
async def test_who_is_not_logged_in_can_do_none_of_it(accounts: Platform, call: Any):
    assert (await failure_of(call(accounts.accounts))).reason == "ACCESS_TOKEN_MISSING"


async def test_the_secret_is_kept_sealed(ada: Ada, database_url: URL):
    connection = await asyncpg.connect(sync_url(database_url))
    row = await connection.fetchrow("SELECT * FROM users.credentials")
    await connection.close()

    assert len(row["sealed_totp_secret"]) == 12 + 20 + 16
    assert ada.secret.encode() not in bytes(row["sealed_totp_secret"])


async def _count(url: URL, table: str) -> int:
    connection = await asyncpg.connect(sync_url(url))
    try:
        return await connection.fetchval(f"SELECT count(*) FROM users.{table}")
    finally:
        await connection.close()
