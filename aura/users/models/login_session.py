"""Login sessions, and the refresh tokens by which they go on."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Column, DateTime, Index, Integer, LargeBinary, Table, Text, Uuid

from aura.users.errors import RefreshTokenInvalid
from aura.users.models.user import Role, metadata

ACCESS_TOKEN_LIFETIME = timedelta(minutes=5)
GRACE = timedelta(seconds=30)
"""How long the predecessor of a refresh token may still be sent: the answer that brought its successor may be lost."""

LIVE_SESSIONS = 50
"""How many sessions a user may have; the oldest ones end when there are more."""

LONGEST_USER_AGENT = 200
TOKEN_PREFIX = "aura_rt_"  # noqa: S105 it is in every token, so that scanners find those that leaked
MAC_BYTES, GENERATION_BYTES, ID_BYTES = 32, 4, 16


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long a session lasts: unused, and at all."""

    idle: timedelta
    absolute: timedelta


RELAXED = Limits(idle=timedelta(days=7), absolute=timedelta(days=30))
STRICT = Limits(idle=timedelta(minutes=30), absolute=timedelta(hours=12))
"""What NIST SP 800-63B asks of those who see other people's data (AAL2)."""


def limits_of(roles: Collection[Role]) -> Limits:
    """Returns the limits for somebody with some roles: the strictest of them."""
    return RELAXED if set(roles) <= {Role.PATIENT} else STRICT


@dataclass(frozen=True, kw_only=True)
class LoginSession:
    """A login session: the family of all refresh tokens that come from one login.

    Attributes:
        salt: What makes its tokens its own.
        generation: How often its refresh token was exchanged; that of the token that is good now.
        rotate_time: When that happened last.
    """

    session_id: UUID
    user_id: UUID
    salt: bytes
    generation: int
    rotate_time: datetime
    create_time: datetime
    idle_expire_time: datetime
    expire_time: datetime
    source: str
    user_agent: str
    end_time: datetime | None = None
    end_reason: str = ""

    def is_live(self, now: datetime) -> bool:
        """Returns whether it has neither ended nor expired."""
        return self.end_time is None and now < min(self.idle_expire_time, self.expire_time)

    def rotated(self, now: datetime, idle: timedelta) -> LoginSession:
        """Returns it as the exchange of its refresh token leaves it."""
        return replace(
            self,
            generation=self.generation + 1,
            rotate_time=now,
            idle_expire_time=min(now + idle, self.expire_time),
        )

    def ended(self, now: datetime, reason: str) -> LoginSession:
        """Returns it as it is after its end."""
        return replace(self, end_time=now, end_reason=reason)

    def forgives(self, generation: int, now: datetime) -> bool:
        """Returns whether a token of this generation is the parent of the current one, sent again in time."""
        return generation == self.generation - 1 and now <= self.rotate_time + GRACE


@dataclass(frozen=True, kw_only=True)
class RefreshToken:
    """What a refresh token says, whether or not it is true."""

    session_id: UUID
    generation: int
    mac: bytes

    @classmethod
    def parse(cls, text: str) -> RefreshToken:
        """Returns what a token says.

        Raises:
            RefreshTokenInvalid: It is none.
        """
        try:
            data = base64.b64decode(text.removeprefix(TOKEN_PREFIX), altchars=b"-_", validate=True)
        except ValueError:
            raise RefreshTokenInvalid from None
        if not text.startswith(TOKEN_PREFIX) or len(data) != ID_BYTES + GENERATION_BYTES + MAC_BYTES:
            raise RefreshTokenInvalid
        number = data[ID_BYTES : ID_BYTES + GENERATION_BYTES]
        return cls(
            session_id=UUID(bytes=data[:ID_BYTES]),
            generation=int.from_bytes(number),
            mac=data[ID_BYTES + GENERATION_BYTES :],
        )


class RefreshTokens:
    """Makes refresh tokens, and tells those it made: a MAC over session and generation, keyed by secret and salt.

    So the database holds nothing that a token could be made of, and the same token can be given again where an answer
    got lost.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, session: LoginSession) -> str:
        """Returns the refresh token that is good for a session now."""
        body = session.session_id.bytes + session.generation.to_bytes(GENERATION_BYTES)
        return TOKEN_PREFIX + base64.urlsafe_b64encode(body + self._mac(session.salt, body)).decode()

    def is_genuine(self, token: RefreshToken, session: LoginSession) -> bool:
        """Returns whether a token was once given for a session."""
        body = session.session_id.bytes + token.generation.to_bytes(GENERATION_BYTES)
        return token.generation <= session.generation and hmac.compare_digest(token.mac, self._mac(session.salt, body))

    def _mac(self, salt: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, salt + body, "sha256")


login_sessions_table = Table(
    "login_sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("user_id", Uuid, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("rotate_time", DateTime(timezone=True), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("idle_expire_time", DateTime(timezone=True), nullable=False),
    Column("expire_time", DateTime(timezone=True), nullable=False),
    Column("source", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("end_time", DateTime(timezone=True)),
    Column("end_reason", Text, nullable=False),
)
Index(
    "login_sessions_live",
    login_sessions_table.c.user_id,
    login_sessions_table.c.create_time,
    postgresql_where=login_sessions_table.c.end_time.is_(None),
)
