"""Login sessions: how they go on, and what ends them."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.kernel.security import callers
from aura.users.models.login_session import GRACE, LIVE_SESSIONS, RELAXED, STRICT
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_PATIENT, ROLE_SUPPORT, ROLE_THERAPIST
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.user_service_pb2 import (
    DeactivateUserRequest,
    GetUserRequest,
    GrantRoleRequest,
    RevokeRoleRequest,
)
from tests.support.accounts import PASSWORD, audited, bearer
from tests.support.failures import failure_of
from tests.support.platform import Platform
from tests.users.api.conftest import SignIn


@pytest.fixture(autouse=True)
def _access_is_asked_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "ACCESS_SECONDS", 0.0)


async def refresh(platform: Platform, token: str) -> pb.TokenPair:
    return await platform.accounts.RefreshToken(pb.RefreshTokenRequest(refresh_token=token))


async def is_in(platform: Platform, tokens: pb.TokenPair) -> bool:
    """Whether the access token is good."""
    call = platform.users.GetUser(GetUserRequest(user_id=tokens.user_id), metadata=bearer(tokens.access_token))
    code = await call.code()
    assert code in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
    return code is grpc.StatusCode.OK


async def test_fifty_refreshes_at_once_leave_one_live_family(accounts: Platform, sign_in: SignIn, database_url: URL):
    tokens = await sign_in()

    renewed = await asyncio.gather(*(refresh(accounts, tokens.refresh_token) for _ in range(50)))

    assert len({each.refresh_token for each in renewed}) == 1
    assert renewed[0].refresh_token != tokens.refresh_token
    assert all(await asyncio.gather(*(is_in(accounts, each) for each in renewed)))
    assert await refresh(accounts, renewed[0].refresh_token)
    sessions = await accounts.managing.ListLoginSessions(pb.ListLoginSessionsRequest(user_id=tokens.user_id))
    assert [each.session_id for each in sessions.sessions] == [tokens.session_id]
    assert "refresh_token.reused" not in [action for action, _, _ in await audited(database_url)]


async def test_a_lost_answer_is_forgiven_within_the_grace_and_only_for_the_parent(accounts: Platform, sign_in: SignIn):
    first = await sign_in()
    second = await refresh(accounts, first.refresh_token)
    accounts.clock.advance(GRACE)

    again = await refresh(accounts, first.refresh_token)
    third = await refresh(accounts, again.refresh_token)
    grandparent = await failure_of(refresh(accounts, first.refresh_token))

    assert again.refresh_token == second.refresh_token
    assert third.refresh_token != second.refresh_token
    assert grandparent.reason == "REFRESH_TOKEN_INVALID"


async def test_a_replay_after_the_grace_ends_the_family_and_is_audited(
    accounts: Platform, sign_in: SignIn, database_url: URL
):
    first, other = await sign_in(email="ada@example.com"), await sign_in(email="bob@example.com")
    second = await refresh(accounts, first.refresh_token)
    accounts.clock.advance(GRACE + timedelta(seconds=1))

    replayed = await failure_of(refresh(accounts, first.refresh_token))
    owner = await failure_of(refresh(accounts, second.refresh_token))

    assert replayed.reason == owner.reason == "REFRESH_TOKEN_INVALID"
    assert not await is_in(accounts, second)
    assert await is_in(accounts, other)
    reused = [entry for entry in await audited(database_url) if entry[0] == "refresh_token.reused"]
    assert reused == [("refresh_token.reused", first.user_id, {"session_id": first.session_id})]


@pytest.mark.parametrize(
    "spoilt",
    [
        "",
        "nonsense",
        "{token}AAAA",
        "{short}AAAAAAAAAAAAAAAAAAAA",
        "{bare}",
        f"aura_rt_{'A' * 70}",
        "AURA_RT_{bare}",
        "{token}é",
    ],
)
async def test_a_made_up_refresh_token_is_refused_and_harms_nobody(accounts: Platform, sign_in: SignIn, spoilt: str):
    tokens = await sign_in()

    token = tokens.refresh_token
    text = spoilt.format(token=token, short=token[:-20], bare=token.removeprefix("aura_rt_"))
    failure = await failure_of(refresh(accounts, text))

    assert failure.reason in {"REFRESH_TOKEN_INVALID", "INVALID_REQUEST"}
    assert await refresh(accounts, tokens.refresh_token)


@pytest.mark.parametrize(("role", "limits"), [(ROLE_PATIENT, RELAXED), (ROLE_THERAPIST, STRICT), (ROLE_ADMIN, STRICT)])
async def test_an_idle_session_ends_after_what_its_role_allows(
    accounts: Platform, sign_in: SignIn, role: int, limits: Any
):
    kept, left = await sign_in(role), await sign_in(role)
    accounts.clock.advance(limits.idle - timedelta(seconds=1))
    kept = await refresh(accounts, kept.refresh_token)
    accounts.clock.advance(timedelta(seconds=1))

    failure = await failure_of(refresh(accounts, left.refresh_token))

    assert failure.reason == "REFRESH_TOKEN_INVALID"
    assert await refresh(accounts, kept.refresh_token)


@pytest.mark.parametrize(("role", "limits"), [(ROLE_PATIENT, RELAXED), (ROLE_THERAPIST, STRICT)])
async def test_no_session_lasts_longer_than_its_role_allows(
    accounts: Platform, sign_in: SignIn, role: int, limits: Any
):
    tokens = await sign_in(role)
    begin = accounts.clock.now()
    while accounts.clock.now() + limits.idle / 2 < begin + limits.absolute:
        accounts.clock.advance(limits.idle / 2)
        tokens = await refresh(accounts, tokens.refresh_token)
    accounts.clock.advance(limits.idle / 2)

    assert (await failure_of(refresh(accounts, tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"


async def logout(platform: Platform, tokens: pb.TokenPair) -> None:
    await platform.accounts.Logout(pb.LogoutRequest(), metadata=bearer(tokens.access_token))


async def revoke(platform: Platform, tokens: pb.TokenPair) -> None:
    request = pb.RevokeLoginSessionRequest(user_id=tokens.user_id, session_id=tokens.session_id)
    await platform.managing.RevokeLoginSession(request)
    await platform.managing.RevokeLoginSession(request)


async def deactivate(platform: Platform, tokens: pb.TokenPair) -> None:
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=tokens.user_id, reason="left"))


async def gain_role(platform: Platform, tokens: pb.TokenPair) -> None:
    """From a patient to somebody who sees others' data, whose sessions are shorter."""
    request = RevokeRoleRequest(user_id=tokens.user_id, role=ROLE_THERAPIST, reason="leaves")
    await platform.users.RevokeRole(request)
    login = pb.LoginRequest(email="person1@example.com", password=PASSWORD)
    tokens.CopyFrom(await platform.accounts.Login(login))
    request = GrantRoleRequest(user_id=tokens.user_id, role=ROLE_THERAPIST, reason="joins")
    await platform.users.GrantRole(request)


async def lose_role(platform: Platform, tokens: pb.TokenPair) -> None:
    granted = GrantRoleRequest(user_id=tokens.user_id, role=ROLE_SUPPORT, reason="helps out")
    await platform.users.GrantRole(granted)
    assert await is_in(platform, tokens)
    await platform.users.RevokeRole(RevokeRoleRequest(user_id=tokens.user_id, role=ROLE_SUPPORT, reason="leaves"))


async def change_password(platform: Platform, tokens: pb.TokenPair) -> None:
    request = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="a quiet lake")
    assert await platform.accounts.ChangePassword(request, metadata=bearer(tokens.access_token))


@pytest.mark.parametrize("end", [logout, revoke, deactivate, gain_role, lose_role, change_password])
async def test_a_session_that_was_ended_is_good_for_nothing(accounts: Platform, sign_in: SignIn, end: Any):
    tokens, other = await sign_in(ROLE_PATIENT, ROLE_THERAPIST, email="person1@example.com"), await sign_in()

    await end(accounts, tokens)

    assert not await is_in(accounts, tokens)
    assert (await failure_of(refresh(accounts, tokens.refresh_token))).reason == "REFRESH_TOKEN_INVALID"
    assert await is_in(accounts, other)


async def test_sessions_are_listed_with_the_current_one(accounts: Platform, sign_in: SignIn):
    first = await sign_in(email="ada@example.com")
    accounts.clock.advance(timedelta(seconds=1))
    login = pb.LoginRequest(email="ada@example.com", password=PASSWORD)
    second = await accounts.accounts.Login(login, metadata=[("user-agent", "x")])

    request = pb.ListLoginSessionsRequest(user_id=first.user_id)
    listed = await accounts.accounts.ListLoginSessions(request, metadata=bearer(second.access_token))

    assert [(each.session_id, each.current) for each in listed.sessions] == [
        (second.session_id, True),
        (first.session_id, False),
    ]
    assert {each.source for each in listed.sessions} == {"127.0.0.1"}
    assert all("grpc-python" in each.user_agent for each in listed.sessions)


async def test_the_oldest_sessions_end_where_there_are_too_many(accounts: Platform, sign_in: SignIn):
    tokens = [await sign_in(email="ada@example.com")]
    for _ in range(LIVE_SESSIONS):
        accounts.clock.advance(timedelta(seconds=1))
        tokens.append(await accounts.accounts.Login(pb.LoginRequest(email="ada@example.com", password=PASSWORD)))

    assert [await is_in(accounts, each) for each in tokens] == [False] + [True] * LIVE_SESSIONS


async def test_nobody_ends_a_session_in_somebody_elses_name(accounts: Platform, sign_in: SignIn):
    tokens, other = await sign_in(), await sign_in()
    for session_id in (tokens.session_id, str(uuid.uuid4())):
        request = pb.RevokeLoginSessionRequest(user_id=other.user_id, session_id=session_id)
        assert (await failure_of(accounts.managing.RevokeLoginSession(request))).reason == "LOGIN_SESSION_NOT_FOUND"

    assert await is_in(accounts, tokens)


async def test_housekeeping_forgets_what_is_of_no_use_any_more(accounts: Platform, sign_in: SignIn, database_url: URL):
    ended, live = await sign_in(email="ada@example.com"), await sign_in(email="bob@example.com")
    await logout(accounts, ended)
    await failure_of(accounts.accounts.Login(pb.LoginRequest(email="nobody@example.com", password="wrong")))
    await accounts.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email="ada@example.com"))
    accounts.clock.advance(timedelta(days=6))
    live = await refresh(accounts, live.refresh_token)

    await accounts.host._background._housekeeping.tidy("users")
    after_six_days = await counts(database_url)
    for number in range(5):
        accounts.clock.advance(timedelta(days=5))
        if number < 4:
            live = await refresh(accounts, live.refresh_token)
    await accounts.host._background._housekeeping.tidy("users")

    assert after_six_days == {"login_sessions": 2, "throttles": 0, "reset_codes": 0}
    assert (await counts(database_url))["login_sessions"] == 1


async def counts(url: URL) -> dict[str, int]:
    connection = await asyncpg.connect(sync_url(url))
    tables = ("login_sessions", "throttles", "reset_codes")
    found = {table: await connection.fetchval(f"SELECT count(*) FROM users.{table}") for table in tables}
    await connection.close()
    return found


async def test_no_login_with_the_old_password_outlives_its_change(accounts: Platform, sign_in: SignIn):
    tokens = await sign_in(email="ada@example.com")
    login = pb.LoginRequest(email="ada@example.com", password=PASSWORD)

    async def log_in() -> pb.TokenPair | None:
        try:
            return await accounts.accounts.Login(login)
        except grpc.aio.AioRpcError:
            return None

    *logins, _ = await asyncio.gather(*(log_in() for _ in range(6)), change_password(accounts, tokens))

    for each in (made for made in logins if made is not None):
        assert not await is_in(accounts, each)
