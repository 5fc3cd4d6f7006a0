"""Access tokens at the peers: verified as Aura's are, by the same key, for each request."""

from __future__ import annotations

import json
import os
from functools import cache

import jwt

KEY_VARIABLE = "BENCHMARK_PUBLIC_KEY"
"""Holds the key, as a JSON Web Key; where it is not set, a peer lets in everybody."""


class Refused(Exception):
    """Somebody has no access token that is good."""


def checked() -> bool:
    """Return whether tokens are looked at."""
    return KEY_VARIABLE in os.environ


def check(authorization: str) -> str:
    """Return whose token a header `Authorization` has. Raises Refused."""
    kind, _, token = authorization.partition(" ")
    if kind != "Bearer":
        raise Refused
    try:
        claims = jwt.decode(token, _key(), algorithms=["EdDSA"], audience="aura", issuer="aura")
    except jwt.InvalidTokenError as error:
        raise Refused from error
    subject: str = claims["sub"]
    return subject


@cache
def _key() -> jwt.PyJWK:
    return jwt.PyJWK(json.loads(os.environ[KEY_VARIABLE]))
