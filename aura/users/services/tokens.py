"""Issues access tokens: JWTs signed with EdDSA (RFC 7519, 8037, 9068)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import jwt

from aura.kernel.clock import Clock
from aura.kernel.ids import new_id_text
from aura.kernel.security.access_tokens import ALGORITHM, AUDIENCE, CLIENT_TOKEN, ISSUER, USER_TOKEN
from aura.kernel.security.module_secrets import ModuleSecrets
from aura.users.models.login_session import ACCESS_TOKEN_LIFETIME, LoginSession, RefreshTokens
from aura.users.services.signing_keys import KeyRotation


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a user gets from logging in."""

    access_token: str
    access_token_expire_time: datetime
    refresh_token: str
    session: LoginSession


class TokenIssuer:
    """Issues the tokens of sessions and of clients."""

    def __init__(self, *, keys: KeyRotation, secrets: ModuleSecrets, clock: Clock) -> None:
        self._keys = keys
        self._refresh_tokens = RefreshTokens(secrets.key("refresh-tokens"))
        self._clock = clock

    @property
    def refresh_tokens(self) -> RefreshTokens:
        """What makes and tells refresh tokens."""
        return self._refresh_tokens

    async def for_session(self, session: LoginSession) -> Tokens:
        """Returns the tokens of a session."""
        access_token, expire_time = await self._sign(USER_TOKEN, session.user_id, {"sid": str(session.session_id)})
        return Tokens(
            access_token=access_token,
            access_token_expire_time=expire_time,
            refresh_token=self._refresh_tokens.text(session),
            session=session,
        )

    async def for_client(self, client_id: UUID) -> tuple[str, datetime]:
        """Returns an access token of a client, and when it expires."""
        return await self._sign(CLIENT_TOKEN, client_id, {})

    async def _sign(self, kind: str, subject: UUID, claims: dict[str, str]) -> tuple[str, datetime]:
        key_id, key = await self._keys.current()
        now = self._clock.now()
        expire_time = now + ACCESS_TOKEN_LIFETIME
        payload = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(subject),
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int(expire_time.timestamp()),
            "jti": new_id_text(),
            **claims,
        }
        return jwt.encode(payload, key, algorithm=ALGORITHM, headers={"typ": kind, "kid": key_id}), expire_time
