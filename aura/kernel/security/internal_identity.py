"""How a process of the platform proves to another who is calling: nobody else has the key."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from aura.kernel.errors import Unauthenticated
from aura.kernel.security.keys import KeyRing

RESERVED_PREFIX = "x-aura-"
IDENTITY_METADATA = "x-aura-identity-bin"
LIFETIME_SECONDS = 60
CLOCK_SKEW_SECONDS = 5
VERSION = b"3"
_MAC_BYTES = 32
_FIELDS = 9
_SEPARATOR = b"\0"


class IdentityRefused(Unauthenticated):
    """A call claims to come from within the platform, and does not prove it."""

    reason = "INTERNAL_IDENTITY_INVALID"

    def __init__(self, why: str) -> None:
        super().__init__(f"the call's internal identity {why}; metadata that begins with {RESERVED_PREFIX} is reserved")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who makes a call between processes.

    Attributes:
        user: The user on whose behalf it is made.
        module: The calling module; empty for a call from outside that another process has passed on.
        forwarded: Whether another process has passed it on.
        roles: What the user may be, as numbers of `aura.options.v1.Role`; of callers from outside only.
        session: The login session of a caller from outside.
        source: The network address of a caller from outside.
    """

    user: str
    module: str
    forwarded: bool = False
    roles: frozenset[int] = frozenset()
    session: str = ""
    source: str = ""


class InternalIdentities:
    """Seals and opens identities: HMAC-SHA256 over who calls, the method, the process addressed, expiry and a nonce.

    A token is good for one method of one process, for 60 seconds and once; unless the method may be repeated, for gRPC
    repeats such calls by itself, with the same metadata.
    """

    def __init__(self, keys: KeyRing, *, now: Callable[[], float] = time.time) -> None:
        self._key = keys.key("internal-identity")
        self._now = now
        self._nonces = _RecentNonces(now)

    def seal(self, identity: Identity, *, method: str, process: str) -> bytes:
        """Returns a token that lets `identity` call one method, given by its path, of one process."""
        fields = (
            VERSION,
            identity.module.encode(),
            identity.user.encode(),
            b"1" if identity.forwarded else b"0",
            ",".join(map(str, sorted(identity.roles))).encode(),
            identity.session.encode(),
            identity.source.encode(),
            str(int(self._now()) + LIFETIME_SECONDS).encode(),
            secrets.token_hex(12).encode(),
        )
        if any(_SEPARATOR in each for each in fields):
            raise ValueError("a module's name or a user's id contains U+0000")
        payload = _SEPARATOR.join(fields)
        return payload + self._mac(payload, method, process)

    def open(self, token: bytes, *, method: str, process: str, repeatable: bool) -> Identity:
        """Returns the identity that a token proves for a call of `method` at this `process`.

        Raises:
            IdentityRefused: It was not made by a process of this platform, for this call, just now.
        """
        payload, mac = token[:-_MAC_BYTES], token[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload, method, process)):
            raise IdentityRefused("was not given for this call")
        fields = payload.split(_SEPARATOR)
        if fields[0] != VERSION or len(fields) != _FIELDS:
            raise IdentityRefused("is of another version of the platform")
        _, module, user, forwarded, roles, session, source, expiry, nonce = fields
        remaining = int(expiry) - self._now()
        if not 0 < remaining <= LIFETIME_SECONDS + CLOCK_SKEW_SECONDS:
            raise IdentityRefused("has expired")
        if not repeatable and not self._nonces.add(nonce):
            raise IdentityRefused("was used before")
        return Identity(
            user=user.decode(),
            module=module.decode(),
            forwarded=forwarded == b"1",
            roles=frozenset(map(int, filter(None, roles.split(b",")))),
            session=session.decode(),
            source=source.decode(),
        )

    def _mac(self, payload: bytes, method: str, process: str) -> bytes:
        return hmac.digest(self._key, b"\n".join((payload, method.encode(), process.encode())), "sha256")


class _RecentNonces:
    """Remembers nonces for at least as long as a token lives, in two generations that take turns."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._turn = now()
        self._current: set[bytes] = set()
        self._previous: set[bytes] = set()

    def add(self, nonce: bytes) -> bool:
        """Remembers a nonce; returns False if it was known."""
        if self._now() - self._turn > LIFETIME_SECONDS + CLOCK_SKEW_SECONDS:
            self._previous, self._current, self._turn = self._current, set(), self._now()
        if nonce in self._current or nonce in self._previous:
            return False
        self._current.add(nonce)
        return True
