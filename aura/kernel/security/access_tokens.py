"""Access tokens: what they hold, and how they are verified (RFC 7519, RFC 9068, RFC 8725)."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from aura.kernel.errors import Unauthenticated

ISSUER = AUDIENCE = "aura"
ALGORITHM = "EdDSA"
USER_TOKEN, CLIENT_TOKEN = "at+jwt", "client-at+jwt"
LONGEST_TOKEN = 4096
LONGEST_LIFETIME_SECONDS = 600
"""None is issued for so long: one that is would be forged with a key that leaked."""
CLOCK_SKEW_SECONDS = 5
REMEMBERED_TOKENS = 10_000

PublicKeys = Mapping[str, Ed25519PublicKey]


class FindKeys(Protocol):
    """Finds the public keys that tokens are verified with."""

    async def __call__(self, *, again: bool) -> PublicKeys:
        """Returns them by their ids; looks again if `again` holds, because an id is not known."""
        ...


class AccessTokenInvalid(Unauthenticated):
    """An access token is not to be trusted; why is not told."""

    reason = "ACCESS_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("the access token is not valid: log in, or send a refresh token for a new one")


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    """What a verified token says.

    Attributes:
        subject: The user's id, or the client's.
        session: The login session it belongs to; empty for a client.
        expiry: When it expires, in seconds since 1970.
        key_id: The key it was signed with.
    """

    subject: str
    session: str
    expiry: int
    key_id: str


class AccessTokens:
    """Verifies access tokens. One that was verified is known by its hash until it expires.

    Args:
        find_keys: finds the public keys.
        now: the time, in seconds since 1970.
    """

    def __init__(self, find_keys: FindKeys, *, now: Callable[[], float] = time.time) -> None:
        self._find_keys = find_keys
        self._now = now
        self._verified: OrderedDict[bytes, AccessToken] = OrderedDict()

    async def verify(self, text: str) -> AccessToken:
        """Returns what a token says.

        Raises:
            AccessTokenInvalid: It was not issued by this platform, not for this platform, or is not valid now.
        """
        if len(text) > LONGEST_TOKEN:
            raise AccessTokenInvalid
        digest = hashlib.sha256(text.encode()).digest()
        token = self._verified.get(digest)
        if token is not None and token.key_id not in await self._find_keys(again=False):
            self._verified.pop(digest, None)  # another call may have done so meanwhile
            raise AccessTokenInvalid
        if token is None:
            token = await self._verify(text)
            self._verified[digest] = token
            if len(self._verified) > REMEMBERED_TOKENS:
                self._verified.popitem(last=False)
        if token.expiry + CLOCK_SKEW_SECONDS <= self._now():
            self._verified.pop(digest, None)
            raise AccessTokenInvalid
        return token

    async def _verify(self, text: str) -> AccessToken:
        try:
            header = jwt.get_unverified_header(text)
            key = await self._key(header.get("kid"))
            if header.get("typ") not in {USER_TOKEN, CLIENT_TOKEN} or key is None:
                raise AccessTokenInvalid
            claims = jwt.decode(
                text,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": ["exp", "nbf", "iat", "sub", "aud", "iss", "jti"],
                    "verify_exp": False,  # by our own clock, which tests can move
                    "verify_nbf": False,
                    "verify_iat": False,
                    "strict_aud": True,
                },
            )
            return self._token(header["typ"], header["kid"], claims)
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise AccessTokenInvalid from error

    def _token(self, kind: str, key_id: str, claims: Mapping[str, Any]) -> AccessToken:
        not_before, expiry, session = claims["nbf"], claims["exp"], claims.get("sid", "")
        if type(not_before) is not int or type(expiry) is not int or not isinstance(session, str):
            raise AccessTokenInvalid
        if not_before > self._now() + CLOCK_SKEW_SECONDS or expiry - not_before > LONGEST_LIFETIME_SECONDS:
            raise AccessTokenInvalid
        if (kind == USER_TOKEN) != bool(session):  # a user's token has a session, a client's has none
            raise AccessTokenInvalid
        return AccessToken(subject=claims["sub"], session=session, expiry=expiry, key_id=key_id)

    async def _key(self, key_id: object) -> Ed25519PublicKey | None:
        if not isinstance(key_id, str):
            return None
        keys = await self._find_keys(again=False)
        if key_id not in keys:
            keys = await self._find_keys(again=True)
        return keys.get(key_id)


def bearer_token(values: list[str | bytes]) -> str:
    """Returns the token in the values of `authorization` that came with a call (RFC 6750, 2.1).

    Raises:
        AccessTokenInvalid: There are several, or it is none.
    """
    if len(values) != 1 or not isinstance(values[0], str):
        raise AccessTokenInvalid
    scheme, space, token = values[0].partition(" ")
    if scheme.lower() != "bearer" or not space or not token or not token.isascii() or " " in token:
        raise AccessTokenInvalid
    return token
