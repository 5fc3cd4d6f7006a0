"""Signing keys change while calls go on, and none fails for it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import timedelta
from typing import Any

import asyncpg
import jwt
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.kernel.security import callers
from aura.users.services import signing_keys
from aura.users.services.signing_keys import LEAD
from generated.aura.options.v1.access_pb2 import ROLE_OPERATOR
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.user_service_pb2 import GetUserRequest
from tests.support.accounts import PASSWORD, audited, bearer
from tests.support.failures import failure_of
from tests.support.platform import Platform
from tests.support.services import eventually
from tests.users.api.conftest import SignIn

STEP, STEPS, CALLS = timedelta(seconds=1), 40, 8


@pytest.fixture(autouse=True)
def _time_goes_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known for five or sixty seconds is known for a fiftieth of that: the tests' clock goes as much faster."""
    monkeypatch.setattr(signing_keys, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(callers, "KEYS_SECONDS", 1.2)
    monkeypatch.setattr(callers, "KEYS_AGAIN_SECONDS", 0.02)


def key_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def key_ids(platform: Platform) -> list[str]:
    return [key.kid for key in (await platform.accounts.GetJwks(pb.GetJwksRequest())).keys]


async def rotate(platform: Platform, **options: Any) -> pb.RotateSigningKeyResponse:
    return await platform.managing.RotateSigningKey(pb.RotateSigningKeyRequest(), **options)


async def test_no_call_fails_while_keys_change(accounts: Platform, sign_in: SignIn):
    old = await sign_in(email="ada@example.com")
    outcomes: Counter[str] = Counter()
    used: Counter[str] = Counter()
    newest, stopping = old, asyncio.Event()

    async def log_in() -> None:
        nonlocal newest
        while not stopping.is_set():
            newest = await accounts.accounts.Login(pb.LoginRequest(email="ada@example.com", password=PASSWORD))

    async def call() -> None:
        while not stopping.is_set():
            for tokens in (old, newest):
                request = GetUserRequest(user_id=tokens.user_id)
                code = await accounts.users.GetUser(request, metadata=bearer(tokens.access_token)).code()
                outcomes[code.name] += 1
                used[key_of(tokens.access_token)] += 1

    load = [asyncio.create_task(each) for each in (log_in(), *(call() for _ in range(4)))]
    keys = []
    for step in range(STEPS):
        if step in {5, 20}:
            keys.append((await rotate(accounts)).key_id)
        accounts.clock.advance(STEP)
        made = outcomes.total()
        await asyncio.sleep(0.05)
        await eventually(lambda enough=made + CALLS: outcomes.total() >= enough)
    stopping.set()
    await asyncio.gather(*load)

    assert outcomes.keys() == {"OK"}
    assert used.keys() == {key_of(old.access_token), *keys}
    assert min(used.values()) > 20


async def test_a_new_key_is_published_before_it_signs(accounts: Platform, sign_in: SignIn):
    old = await sign_in(email="ada@example.com")
    rotated = await rotate(accounts)

    assert await key_ids(accounts) == [rotated.key_id, key_of(old.access_token)]
    before = await accounts.accounts.RefreshToken(pb.RefreshTokenRequest(refresh_token=old.refresh_token))
    accounts.clock.advance(LEAD)
    after = await accounts.accounts.RefreshToken(pb.RefreshTokenRequest(refresh_token=before.refresh_token))

    assert key_of(before.access_token) == key_of(old.access_token)
    assert key_of(after.access_token) == rotated.key_id


async def test_the_old_key_retires_after_its_last_token_has_expired(
    accounts: Platform, sign_in: SignIn, database_url: URL
):
    old = await sign_in(email="ada@example.com")
    await rotate(accounts)
    accounts.clock.advance(LEAD - timedelta(seconds=1))
    last = await accounts.accounts.RefreshToken(pb.RefreshTokenRequest(refresh_token=old.refresh_token))
    accounts.clock.advance(timedelta(minutes=5, seconds=-1))
    request = GetUserRequest(user_id=old.user_id)

    assert key_of(last.access_token) == key_of(old.access_token)
    assert await accounts.users.GetUser(request, metadata=bearer(last.access_token))
    accounts.clock.advance(timedelta(minutes=1, seconds=2))
    await asyncio.sleep(0.2)
    assert key_of(old.access_token) not in await key_ids(accounts)
    await rotate(accounts)
    connection = await asyncpg.connect(sync_url(database_url))
    kept = [row["key_id"] for row in await connection.fetch("SELECT key_id FROM users.signing_keys")]
    await connection.close()
    assert key_of(old.access_token) not in kept


async def test_private_keys_are_sealed_and_rotation_is_audited(accounts: Platform, sign_in: SignIn, database_url: URL):
    await sign_in()
    operator = await sign_in(ROLE_OPERATOR)
    rotated = await rotate(accounts, metadata=bearer(operator.access_token))

    connection = await asyncpg.connect(sync_url(database_url))
    rows = await connection.fetch("SELECT sealed_private_key FROM users.signing_keys")
    await connection.close()

    assert {len(row["sealed_private_key"]) for row in rows} == {12 + 32 + 16}
    assert ("signing_key.rotated", rotated.key_id, {}) in await audited(database_url)


async def test_the_key_set_is_one_that_others_can_use(accounts: Platform, sign_in: SignIn):
    tokens = await sign_in()
    answer = await accounts.accounts.GetJwks(pb.GetJwksRequest())
    fields = [{field.name: value for field, value in key.ListFields()} for key in answer.keys]

    keys = jwt.PyJWKSet.from_json(json.dumps({"keys": fields}))
    key = keys[key_of(tokens.access_token)]
    claims = jwt.decode(tokens.access_token, key, algorithms=["EdDSA"], audience="aura", options={"verify_exp": False})

    assert claims["sub"] == tokens.user_id


async def test_many_first_logins_at_once_make_one_key(accounts: Platform, sign_in: SignIn, database_url: URL):
    await sign_in(email="ada@example.com")
    connection = await asyncpg.connect(sync_url(database_url))
    await connection.execute("DELETE FROM users.signing_keys")
    await asyncio.sleep(0.2)

    login = pb.LoginRequest(email="ada@example.com", password=PASSWORD)
    tokens = await asyncio.gather(*(accounts.accounts.Login(login) for _ in range(10)))
    count = await connection.fetchval("SELECT count(*) FROM users.signing_keys")
    await connection.close()

    assert count == 1
    assert len({key_of(each.access_token) for each in tokens}) == 1


async def test_keys_can_be_rotated_before_the_first_login(accounts: Platform, sign_in: SignIn):
    rotated = await rotate(accounts)

    tokens = await sign_in()

    assert key_of(tokens.access_token) == rotated.key_id


async def test_tokens_of_a_key_that_was_deleted_are_refused(accounts: Platform, sign_in: SignIn, database_url: URL):
    tokens = await sign_in()
    call = GetUserRequest(user_id=tokens.user_id)
    assert await accounts.users.GetUser(call, metadata=bearer(tokens.access_token))
    await rotate(accounts)
    connection = await asyncpg.connect(sync_url(database_url))
    await connection.execute("DELETE FROM users.signing_keys WHERE key_id = $1", key_of(tokens.access_token))
    await connection.close()
    await asyncio.sleep(1.5)

    failure = await failure_of(accounts.users.GetUser(call, metadata=bearer(tokens.access_token)))

    assert failure.reason == "ACCESS_TOKEN_INVALID"


async def test_unknown_key_ids_do_not_have_the_keys_read_again_and_again(
    accounts: Platform, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch
):
    tokens = await sign_in()
    monkeypatch.setattr(callers, "KEYS_AGAIN_SECONDS", 60.0)
    monkeypatch.setattr(callers, "KEYS_SECONDS", 60.0)
    asked: list[str] = []
    ask = callers.AccessService.keys

    async def count(self: Any) -> Any:
        asked.append("keys")
        return await ask(self)

    monkeypatch.setattr(callers.AccessService, "keys", count)
    await accounts.users.GetUser(GetUserRequest(user_id=tokens.user_id), metadata=bearer(tokens.access_token))
    for number in range(20):
        forged = jwt.encode({"a": 1}, "x" * 32, algorithm="HS256", headers={"kid": f"k{number}", "typ": "at+jwt"})
        call = accounts.users.GetUser(GetUserRequest(user_id=tokens.user_id), metadata=bearer(forged))
        assert (await failure_of(call)).reason == "ACCESS_TOKEN_INVALID"

    assert len(asked) <= 1
