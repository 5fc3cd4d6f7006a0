"""What is known of a verified token, when many calls come with it at once."""

from __future__ import annotations

import asyncio

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from aura.kernel.security.access_tokens import AUDIENCE, ISSUER, USER_TOKEN, AccessTokenInvalid, AccessTokens

KEY = Ed25519PrivateKey.generate()
NOW = 1_800_000_000


class Keys:
    """Public keys that are looked up elsewhere, so that other calls go on meanwhile."""

    def __init__(self) -> None:
        self.known: dict[str, Ed25519PublicKey] = {"one": KEY.public_key()}

    async def __call__(self, *, again: bool) -> dict[str, Ed25519PublicKey]:  # noqa: ARG002 the port has it
        await asyncio.sleep(0)
        return dict(self.known)


def token() -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "sid": "s", "jti": "1", "iat": NOW, "nbf": NOW}
    return jwt.encode({**claims, "exp": NOW + 300}, KEY, algorithm="EdDSA", headers={"typ": USER_TOKEN, "kid": "one"})


async def refusals(tokens: AccessTokens, text: str) -> list[type[BaseException]]:
    """How ten calls with a token end, all made at once."""
    outcomes = await asyncio.gather(*(tokens.verify(text) for _ in range(10)), return_exceptions=True)
    return [type(outcome) for outcome in outcomes]


async def test_a_key_that_goes_takes_its_tokens_along_for_all_calls_at_once():
    keys, text = Keys(), token()
    tokens = AccessTokens(keys, now=lambda: NOW)
    assert (await tokens.verify(text)).subject == "ada"

    keys.known.clear()

    assert await refusals(tokens, text) == [AccessTokenInvalid] * 10


async def test_a_token_that_expires_is_refused_to_all_calls_at_once():
    now = [NOW]
    tokens, text = AccessTokens(Keys(), now=lambda: now[0]), token()
    assert (await tokens.verify(text)).expiry == NOW + 300

    now[0] += 400

    assert await refusals(tokens, text) == [AccessTokenInvalid] * 10


async def test_what_is_known_of_a_token_is_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aura.kernel.security.access_tokens.REMEMBERED_TOKENS", 3)
    tokens = AccessTokens(Keys(), now=lambda: NOW)

    for number in range(10):
        claims = jwt.decode(token(), options={"verify_signature": False}) | {"jti": str(number)}
        header = {"typ": USER_TOKEN, "kid": "one"}
        await tokens.verify(jwt.encode(claims, KEY, algorithm="EdDSA", headers=header))

    assert len(tokens._verified) == 3
