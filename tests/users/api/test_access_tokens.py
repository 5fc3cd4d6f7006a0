"""Access tokens: which are taken, and which are refused without a word on why."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import asyncpg
import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import URL

from aura.kernel.database import sync_url
from aura.kernel.security import callers
from aura.kernel.security.module_secrets import ModuleSecrets
from aura.users.services.throttle import SOURCE
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.user_service_pb2 import GetUserRequest
from tests.support.accounts import bearer
from tests.support.cluster import KEYS
from tests.support.failures import failure_of
from tests.support.platform import Platform
from tests.users.api.conftest import SignIn

USERS = "aura.users.v1.UserService"
OTHER_KEY = Ed25519PrivateKey.generate()


@pytest.fixture(autouse=True)
def _access_is_asked_for_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "ACCESS_SECONDS", 0.0)


async def signing_key(url: URL) -> Ed25519PrivateKey:
    """The platform's own key, with which anything can be forged."""
    connection = await asyncpg.connect(sync_url(url))
    row = await connection.fetchrow("SELECT key_id, sealed_private_key FROM users.signing_keys")
    await connection.close()
    sealer = ModuleSecrets(KEYS, module="users").sealer("signing-keys")
    return Ed25519PrivateKey.from_private_bytes(sealer.open(row["sealed_private_key"], context=row["key_id"].encode()))


def other_in_the_middle(text: str) -> str:
    """A text with another character in its middle, where each stands for six bits that count."""
    middle = len(text) // 2
    return f"{text[:middle]}{'B' if text[middle] == 'A' else 'A'}{text[middle + 1 :]}"


def get_user(platform: Platform, tokens: pb.TokenPair, metadata: Any) -> Any:
    return platform.users.GetUser(GetUserRequest(user_id=tokens.user_id), metadata=metadata)


Forge = Callable[[dict[str, Any], dict[str, Any]], None]
FORGERIES: dict[str, Forge] = {
    "expired": lambda claims, _: claims.update(exp=claims["exp"] - 310),
    "expires never": lambda claims, _: claims.update(exp=float("inf")),
    "expires at no number": lambda claims, _: claims.update(exp=float("nan")),
    "expires after ages": lambda claims, _: claims.update(exp=10**400),
    "lives long": lambda claims, _: claims.update(exp=claims["exp"] + 3600),
    "expires as a text": lambda claims, _: claims.update(exp="soon"),
    "without expiry": lambda claims, _: claims.pop("exp"),
    "not yet valid": lambda claims, _: claims.update(nbf=claims["nbf"] + 60),
    "for somebody else": lambda claims, _: claims.update(aud="other"),
    "for several": lambda claims, _: claims.update(aud=["aura", "other"]),
    "without audience": lambda claims, _: claims.pop("aud"),
    "by somebody else": lambda claims, _: claims.update(iss="other"),
    "without issuer": lambda claims, _: claims.pop("iss"),
    "of another user": lambda claims, _: claims.update(sub="01900000-0000-7000-8000-000000000000"),
    "of nobody": lambda claims, _: claims.pop("sub"),
    "of another session": lambda claims, _: claims.update(sid="01900000-0000-7000-8000-000000000000"),
    "of no session": lambda claims, _: claims.pop("sid"),
    "of a session that is a number": lambda claims, _: claims.update(sid=7),
    "of another type": lambda _, header: header.update(typ="JWT"),
    "of a client, with a session": lambda _, header: header.update(typ="client-at+jwt"),
    "without key id": lambda _, header: header.pop("kid"),
    "with another key id": lambda _, header: header.update(kid="other"),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_what_is_wrong_is_refused_and_not_told_apart(
    accounts: Platform, sign_in: SignIn, database_url: URL, name: str
):
    tokens = await sign_in()
    key, header = await signing_key(database_url), jwt.get_unverified_header(tokens.access_token)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    header.pop("alg")
    right = jwt.encode(claims, key, algorithm="EdDSA", headers=header)
    FORGERIES[name](claims, header)
    wrong = jwt.encode(claims, key, algorithm="EdDSA", headers=header)

    assert await get_user(accounts, tokens, bearer(right))
    failure = await failure_of(get_user(accounts, tokens, bearer(wrong)))

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "ACCESS_TOKEN_INVALID")
    assert failure.details == "the access token is not valid: log in, or send a refresh token for a new one"


@pytest.mark.parametrize("skew", [-4, 4])
async def test_clocks_may_differ_by_a_few_seconds(accounts: Platform, sign_in: SignIn, skew: int):
    tokens = await sign_in()
    accounts.clock.advance(timedelta(seconds=skew if skew < 0 else 300 + skew))

    assert await get_user(accounts, tokens, bearer(tokens.access_token))


async def test_a_token_of_another_key_or_algorithm_is_refused(accounts: Platform, sign_in: SignIn, database_url: URL):
    tokens = await sign_in()
    header = jwt.get_unverified_header(tokens.access_token)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})
    rest = {"typ": header["typ"], "kid": header["kid"]}
    public = (await signing_key(database_url)).public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    forged = [
        jwt.encode(claims, OTHER_KEY, algorithm="EdDSA", headers=rest),
        jwt.encode(claims, None, algorithm="none", headers=rest),
        jwt.encode(claims, raw, algorithm="HS256", headers=rest),
        jwt.encode(claims, OTHER_KEY, algorithm="EdDSA", headers={**rest, "jwk": {"kty": "OKP"}, "jku": "https://x"}),
    ]
    first, payload, signature = tokens.access_token.split(".")
    unsigned = base64.urlsafe_b64encode(b'{"alg":"None","typ":"at+jwt"}').decode().rstrip("=")
    forged += [
        f"{first}.{payload}.",
        f"{first}.{payload}.{other_in_the_middle(signature)}",
        f"{first}.{other_in_the_middle(payload)}.{signature}",
        f"{first}.{payload}",
        f"{unsigned}.{payload}.",
        f"{first}.{payload}.{signature}.{signature}",
        tokens.refresh_token,
        ".",
        "..",
    ]
    for text in forged:
        failure = await failure_of(get_user(accounts, tokens, bearer(text)))
        assert failure.reason == "ACCESS_TOKEN_INVALID", text


@pytest.mark.parametrize(
    ("form", "is_taken"),
    [
        ("Bearer {}", True),
        ("bearer {}", True),
        ("BEARER {}", True),
        ("{}", False),
        ("Bearer{}", False),
        ("Bearer  {}", False),
        ("Bearer {} x", False),
        ("Bearer", False),
        ("Bearer ", False),
        ("Basic {}", False),
        ("Token {}", False),
        ("Bearer {},Bearer {}", False),
    ],
)
async def test_the_scheme_is_bearer_and_nothing_else(accounts: Platform, sign_in: SignIn, form: str, is_taken: bool):  # noqa: FBT001 an expectation
    tokens = await sign_in()
    text = form.format(tokens.access_token, tokens.access_token)

    code = await get_user(accounts, tokens, [("authorization", text)]).code()

    assert code in ({grpc.StatusCode.OK} if is_taken else {grpc.StatusCode.UNAUTHENTICATED})


async def test_two_tokens_are_refused_even_if_both_are_good(accounts: Platform, sign_in: SignIn):
    tokens = await sign_in()
    twice = bearer(tokens.access_token) * 2

    assert (await failure_of(get_user(accounts, tokens, twice))).reason == "ACCESS_TOKEN_INVALID"


async def test_a_token_in_other_metadata_does_not_count(accounts: Platform, sign_in: SignIn):
    tokens = await sign_in()
    others = [(key, f"Bearer {tokens.access_token}") for key in ("x-authorization", "proxy-authorization", "cookie")]

    answer = accounts.accounts.Logout(pb.LogoutRequest(), metadata=others)

    assert (await failure_of(answer)).reason == "ACCESS_TOKEN_MISSING"


async def test_a_token_of_a_megabyte_is_refused_and_the_server_lives_on(accounts: Platform, sign_in: SignIn):
    tokens = await sign_in()
    begin = time.monotonic()

    for size in (5_000, 1_000_000):
        code = await get_user(accounts, tokens, bearer("A" * size)).code()
        assert code in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}

    assert time.monotonic() - begin < 5
    assert await get_user(accounts, tokens, bearer(tokens.access_token))


async def test_roles_in_a_token_are_worth_nothing(accounts: Platform, sign_in: SignIn, database_url: URL):
    seen: list[frozenset[int]] = []
    find = callers.Callers.actor

    async def spy(self: Any, *arguments: Any, **options: Any) -> Any:
        actor = await find(self, *arguments, **options)
        seen.append(actor.roles)
        return actor

    tokens = await sign_in()
    header = jwt.get_unverified_header(tokens.access_token)
    claims = jwt.decode(tokens.access_token, options={"verify_signature": False}) | {"roles": ["ADMIN", ROLE_ADMIN]}
    rest = {"typ": header["typ"], "kid": header["kid"]}
    forged = jwt.encode(claims, await signing_key(database_url), algorithm="EdDSA", headers=rest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callers.Callers, "actor", spy)
        await get_user(accounts, tokens, bearer(forged))

    assert seen == [frozenset({1})]


async def test_tokens_hold_ids_and_no_personal_data(sign_in: SignIn):
    tokens = await sign_in(email="ada@example.com", display_name="Ada Lovelace")

    claims = jwt.decode(tokens.access_token, options={"verify_signature": False})

    assert claims.keys() == {"iss", "aud", "sub", "sid", "iat", "nbf", "exp", "jti"}
    assert claims["exp"] - claims["iat"] == 300


# Clients


async def new_client(platform: Platform, *services: str) -> pb.CreateServiceClientResponse:
    request = pb.CreateServiceClientRequest(display_name="a program", services=services or [USERS])
    return await platform.managing.CreateServiceClient(request)


def token_of(platform: Platform, client: pb.CreateServiceClientResponse, secret: str | None = None) -> Any:
    given = client.client_secret if secret is None else secret
    return platform.accounts.IssueServiceToken(
        pb.IssueServiceTokenRequest(client_id=client.client_id, client_secret=given)
    )


async def test_a_client_may_call_the_services_it_is_limited_to_and_no_others(accounts: Platform, sign_in: SignIn):
    tokens, client = await sign_in(), await new_client(accounts)

    token = bearer((await token_of(accounts, client)).access_token)
    other = await failure_of(accounts.accounts.GetJwks(pb.GetJwksRequest(), metadata=token))

    assert await get_user(accounts, tokens, token)
    assert (other.code, other.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ADMITTED")


async def test_a_client_out_of_use_gets_no_token_and_its_old_one_is_refused(accounts: Platform, sign_in: SignIn):
    tokens, client = await sign_in(), await new_client(accounts)
    token = bearer((await token_of(accounts, client)).access_token)

    await accounts.managing.RevokeServiceClient(pb.RevokeServiceClientRequest(client_id=client.client_id))

    assert (await failure_of(token_of(accounts, client))).reason == "CREDENTIALS_INVALID"
    assert (await failure_of(get_user(accounts, tokens, token))).reason == "ACCESS_TOKEN_INVALID"


async def test_secrets_cannot_be_guessed_for_long(accounts: Platform):
    client = await new_client(accounts)
    for nothing in ("-", " ", "--- ---"):
        assert (await failure_of(token_of(accounts, client, nothing))).reason == "CREDENTIALS_INVALID"
    for number in range(SOURCE.attempts - 3):
        assert (await failure_of(token_of(accounts, client, f"wrong{number}"))).reason == "CREDENTIALS_INVALID"

    locked = await failure_of(token_of(accounts, client))
    accounts.clock.advance(SOURCE.pause)

    assert locked.reason == "TOO_MANY_ATTEMPTS"
    assert await token_of(accounts, client)


async def test_a_client_of_an_unknown_service_is_refused(accounts: Platform):
    failure = await failure_of(new_client(accounts, USERS, "aura.users.v1.Nope"))

    assert (failure.reason, failure.fields) == ("SERVICE_UNKNOWN", ["services[1]"])
    assert "Nope" not in failure.details


async def test_an_unknown_client_cannot_be_revoked(accounts: Platform):
    request = pb.RevokeServiceClientRequest(client_id="01900000-0000-7000-8000-000000000000")

    assert (await failure_of(accounts.managing.RevokeServiceClient(request))).reason == "SERVICE_CLIENT_NOT_FOUND"


async def test_only_the_platform_itself_asks_what_callers_are(accounts: Platform, sign_in: SignIn):
    tokens = await sign_in(ROLE_ADMIN)
    for service, method in (
        ("AccessService", "GetAccess"),
        ("AccessService", "ListVerificationKeys"),
        ("AuthenticationService", "CreateAccount"),
    ):
        call = accounts.channel.unary_unary(f"/aura.users.v1.{service}/{method}")(
            b"", metadata=bearer(tokens.access_token)
        )
        failure = await failure_of(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ADMITTED")


async def test_who_calls_is_known_to_the_modules(accounts: Platform, sign_in: SignIn):
    tokens = await sign_in(ROLE_ADMIN)

    request = await accounts.booking()
    session = await accounts.sessions.ScheduleTherapySession(request, metadata=bearer(tokens.access_token))

    assert [change.actor for change in session.transitions] == [tokens.user_id]
