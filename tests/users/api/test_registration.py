"""How accounts come to be, and how lost passwords are replaced, without telling strangers who has an account."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.users.models.codes import REGISTRATION_LIFETIME, RESET_LIFETIME
from aura.users.models.mail import MailKind
from aura.users.services.account_mailer import MailNotSent
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.user_service_pb2 import DeactivateUserRequest, GetUserRequest
from tests.support.accounts import PASSWORD, FakeMailer, audited
from tests.support.events import published
from tests.support.failures import failure_of
from tests.support.platform import Platform
from tests.support.services import eventually
from tests.users.api.conftest import SignIn

EMAIL, GOOD = "ada@example.com", "correct horse battery"


def register(platform: Platform, password: str = GOOD, **fields: str) -> Any:
    request = {"email": EMAIL, "display_name": "Ada Lovelace", **fields, "password": password}
    return platform.accounts.Register(pb.RegisterRequest(**request))


def verify(platform: Platform, code: str, email: str = EMAIL, password: str = GOOD) -> Any:
    return platform.accounts.VerifyEmail(pb.VerifyEmailRequest(email=email, code=code, password=password))


def login(platform: Platform, password: str = GOOD, email: str = EMAIL) -> Any:
    return platform.accounts.Login(pb.LoginRequest(email=email, password=password))


async def until_sent(mailer: FakeMailer, count: int) -> None:
    await eventually(lambda: len(mailer.sent) >= count)


async def rows(url: URL, table: str) -> list[Any]:
    connection = await asyncpg.connect(sync_url(url))
    try:
        return await connection.fetch(f"SELECT * FROM users.{table}")
    finally:
        await connection.close()


# Registering


async def test_an_account_is_created_once_its_address_is_verified(
    accounts: Platform, mailer: FakeMailer, database_url: URL
):
    assert await register(accounts, email="Ada@Example.COM") == pb.RegisterResponse()
    before = await failure_of(login(accounts))
    await until_sent(mailer, 1)
    user_id = (await verify(accounts, mailer.code("Ada@example.com"))).user_id
    tokens = await login(accounts)

    user = await accounts.users.GetUser(GetUserRequest(user_id=user_id))
    assert before.reason == "CREDENTIALS_INVALID"
    assert (user.email, user.display_name, list(user.roles)) == ("Ada@example.com", "Ada Lovelace", [ROLE_PATIENT])
    assert tokens.user_id == user_id
    assert "UserRegistered" in [type(event).__name__ for event in await published(database_url, "users")]
    assert not await rows(database_url, "registrations")
    await _until_empty(database_url, "mail_queue")


@pytest.mark.parametrize(
    "typed", ["ada@xn--bcher-kva.example.com", "ADA@BÜCHER.example.com", "ada@bu\u0308cher.example.com"]
)
async def test_an_address_is_the_same_however_it_is_typed(accounts: Platform, mailer: FakeMailer, typed: str):
    await register(accounts, email="ada@bücher.example.com")
    await until_sent(mailer, 1)
    await verify(accounts, mailer.sent[0].code, typed)

    assert await login(accounts, email=typed)


async def test_a_code_is_good_once_and_for_a_day(accounts: Platform, mailer: FakeMailer):
    await register(accounts)
    await until_sent(mailer, 1)
    code = mailer.code(EMAIL)
    accounts.clock.advance(REGISTRATION_LIFETIME)
    late = await failure_of(verify(accounts, code))
    accounts.clock.advance(-timedelta(seconds=1))
    other = await failure_of(verify(accounts, code, "bob@example.com"))
    spelt = f" {code[:4]}-{code[4:].lower()}"
    await verify(accounts, spelt)
    again = await failure_of(verify(accounts, code))

    assert {late.reason, other.reason, again.reason} == {"CODE_INVALID"}


@pytest.mark.parametrize("strangers", ["before", "after"])
async def test_a_stranger_who_asks_for_an_account_with_the_same_address_gets_nothing(
    accounts: Platform, mailer: FakeMailer, strangers: str
):
    passwords = ["a strangers password", GOOD] if strangers == "before" else [GOOD, "a strangers password"]
    for number, password in enumerate(passwords):
        await register(accounts, password)
        await until_sent(mailer, number + 1)
    codes = dict(zip(passwords, (mail.code for mail in mailer.sent), strict=True))

    with_the_strangers_code = await failure_of(verify(accounts, codes["a strangers password"]))
    await verify(accounts, codes[GOOD])
    too_late = await failure_of(verify(accounts, codes["a strangers password"], password="a strangers password"))

    assert with_the_strangers_code.reason == too_late.reason == "CODE_INVALID"
    assert (await failure_of(login(accounts, "a strangers password"))).reason == "CREDENTIALS_INVALID"
    assert await login(accounts)


async def test_who_has_an_account_is_told_by_mail_and_nobody_else_learns_it(
    accounts: Platform, mailer: FakeMailer, sign_in: SignIn, database_url: URL
):
    await sign_in(email=EMAIL)

    assert await register(accounts) == pb.RegisterResponse()
    await until_sent(mailer, 1)

    assert [(mail.kind, mail.code) for mail in mailer.sent] == [(MailKind.ACCOUNT_EXISTS, "")]
    assert (await failure_of(verify(accounts, "A" * 32))).reason == "CODE_INVALID"
    assert await login(accounts, PASSWORD)
    assert len(await rows(database_url, "users")) == 1


async def test_of_two_verifications_at_once_one_creates_the_account(accounts: Platform, mailer: FakeMailer):
    await register(accounts)
    await until_sent(mailer, 1)

    calls = [verify(accounts, mailer.code(EMAIL)).code() for _ in range(5)]
    codes = await asyncio.gather(*calls)

    assert sorted(code.name for code in codes) == ["OK"] + ["UNAUTHENTICATED"] * 4


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("seven77", "must have at least 8 characters"),
        ("пароль1", "must have at least 8 characters"),
        ("password", "is one of the passwords that are tried first"),
        ("PassWord", "is one of the passwords that are tried first"),
        ("１２３４５６７８", "is one of the passwords that are tried first"),
        ("lovelace rules", "must not contain your own name or e-mail address"),
        ("i am ADA@example.com", "must not contain your own name or e-mail address"),
        ("at example.com", "must not contain your own name or e-mail address"),
    ],
)
async def test_a_password_is_refused_with_the_reason(accounts: Platform, password: str, why: str):
    failure = await failure_of(register(accounts, password))

    (violation,) = failure.error.violations
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "PASSWORD_REFUSED")
    assert (violation.field, violation.description[: len(why)]) == ("password", why)
    assert password == "password" or password not in failure.details


@pytest.mark.parametrize(
    "password", ["x" * 64 + "y" * 192, "        8", "ä" * 8, "🐎🔋🖇✅🐎🔋🖇✅", "no Digits or Symbols"]
)
async def test_any_other_password_of_eight_characters_is_taken_exactly(
    accounts: Platform, mailer: FakeMailer, password: str
):
    await register(accounts, password)
    await until_sent(mailer, 1)
    await verify(accounts, mailer.code(EMAIL), password=password)

    assert await login(accounts, password)
    assert (await failure_of(login(accounts, password[:-1]))).reason == "CREDENTIALS_INVALID"


async def test_a_password_is_the_same_however_its_characters_are_composed(accounts: Platform, mailer: FakeMailer):
    await register(accounts, "Änderung-ﬁx")
    await until_sent(mailer, 1)
    await verify(accounts, mailer.code(EMAIL), password="Änderung-fix")

    assert await login(accounts, "A\u0308nderung-fix")


@pytest.mark.parametrize("size", [257, 1_000_000])
async def test_a_password_that_is_too_long_is_refused_before_any_work(accounts: Platform, size: int):
    for call in (register(accounts, "x" * size), login(accounts, "x" * size)):
        failure = await failure_of(call)
        assert (failure.code, failure.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["password"])


async def test_an_address_that_is_none_is_refused(accounts: Platform):
    failure = await failure_of(register(accounts, email="ada.example.com"))

    assert (failure.reason, failure.fields) == ("EMAIL_INVALID", ["email"])


# Losing a password


async def test_a_lost_password_is_replaced_and_all_sessions_end(
    accounts: Platform, mailer: FakeMailer, sign_in: SignIn, database_url: URL
):
    tokens = await sign_in(email=EMAIL)
    await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=EMAIL))
    await until_sent(mailer, 1)
    code = mailer.code(EMAIL)

    def reset(password: str, code: str = code) -> Any:
        return accounts.accounts.ResetPassword(pb.ResetPasswordRequest(email=EMAIL, code=code, new_password=password))

    refused = await failure_of(reset("password"))
    await reset("a quiet lake")
    again = await failure_of(reset("another lake"))
    await until_sent(mailer, 2)

    assert (refused.reason, refused.fields) == ("PASSWORD_REFUSED", ["new_password"])
    assert again.reason == "CODE_INVALID"
    assert (await failure_of(login(accounts, PASSWORD))).reason == "CREDENTIALS_INVALID"
    assert await login(accounts, "a quiet lake")
    token = pb.RefreshTokenRequest(refresh_token=tokens.refresh_token)
    assert (await failure_of(accounts.accounts.RefreshToken(token))).reason == "REFRESH_TOKEN_INVALID"
    assert mailer.sent[-1].kind is MailKind.PASSWORD_CHANGED
    assert ("password.reset", tokens.user_id, {}) in await audited(database_url)


async def test_a_reset_code_expires(accounts: Platform, mailer: FakeMailer, sign_in: SignIn):
    await sign_in(email=EMAIL)
    await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=EMAIL))
    await until_sent(mailer, 1)
    accounts.clock.advance(RESET_LIFETIME)

    request = pb.ResetPasswordRequest(email=EMAIL, code=mailer.code(EMAIL), new_password="a quiet lake")

    assert (await failure_of(accounts.accounts.ResetPassword(request))).reason == "CODE_INVALID"


@pytest.mark.parametrize(
    "alike", ["\uff41da@example.com", "ADA@example.com", "ada@EXAMPLE.com", "ad\u1d43@example.com"]
)
async def test_a_code_goes_to_the_address_of_the_account_and_to_none_that_looks_like_it(
    accounts: Platform, mailer: FakeMailer, sign_in: SignIn, alike: str
):
    await sign_in(email=EMAIL)

    await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=alike))
    await register(accounts, email=alike)
    await until_sent(mailer, 2)

    assert {(mail.kind, mail.email) for mail in mailer.sent} == {
        (MailKind.RESET_PASSWORD, EMAIL),
        (MailKind.ACCOUNT_EXISTS, EMAIL),
    }


async def test_nothing_is_sent_to_strangers_and_the_answer_is_the_same(
    accounts: Platform, mailer: FakeMailer, sign_in: SignIn, database_url: URL
):
    tokens = await sign_in(email=EMAIL)
    await accounts.users.DeactivateUser(DeactivateUserRequest(user_id=tokens.user_id, reason="left"))

    for email in ("nobody@example.com", EMAIL, "no address at all"):
        answer = await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=email))
        assert answer == pb.RequestPasswordResetResponse()

    await _until_empty(database_url, "mail_queue")
    assert mailer.sent == []


async def test_who_was_created_by_an_admin_chooses_a_password_by_mail(accounts: Platform, mailer: FakeMailer):
    await accounts.create_user(ROLE_PATIENT, email=EMAIL)
    without = await failure_of(login(accounts, ""))
    await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=EMAIL))
    await until_sent(mailer, 1)
    request = pb.ResetPasswordRequest(email=EMAIL, code=mailer.code(EMAIL), new_password="a quiet lake")
    await accounts.accounts.ResetPassword(request)

    assert without.reason == "INVALID_REQUEST"
    assert await login(accounts, "a quiet lake")


# Mail


async def test_a_message_waits_sealed_and_is_tried_again_until_it_is_sent(
    accounts: Platform, mailer: FakeMailer, database_url: URL, monkeypatch: pytest.MonkeyPatch
):
    send, failures = mailer.send, iter(range(2))

    async def fail_at_first(*arguments: Any) -> None:
        if next(failures, None) is not None:
            raise MailNotSent("the mail server sleeps")
        await send(*arguments)

    monkeypatch.setattr(mailer, "send", fail_at_first)
    await register(accounts)
    await eventually(lambda: next(failures, None) is None, seconds=15)

    await until_sent(mailer, 1)
    await _until_empty(database_url, "mail_queue")
    assert len(mailer.sent) == 1


async def test_what_waits_can_be_read_by_nobody(accounts: Platform, mailer: FakeMailer, database_url: URL):
    never = asyncio.Event()

    async def hang(*_: Any) -> None:
        await never.wait()

    mailer.send = hang  # type: ignore[method-assign]
    await register(accounts)
    (waiting,) = await rows(database_url, "mail_queue")

    assert b"ada" not in bytes(waiting["sealed"])
    (registration,) = await rows(database_url, "registrations")
    assert registration["password_hash"].startswith("$argon2id$")


async def test_a_password_is_hashed_again_when_it_is_next_used(accounts: Platform, sign_in: SignIn, database_url: URL):
    await sign_in(email=EMAIL)

    (row,) = await rows(database_url, "credentials")

    assert row["password_hash"].startswith("$argon2id$v=19$m=8192,t=1,p=1$")


async def _until_empty(url: URL, table: str) -> None:
    async with asyncio.timeout(20):
        while await rows(url, table):  # noqa: ASYNC110 rows have no event
            await asyncio.sleep(0.05)
