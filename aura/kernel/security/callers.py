"""Who calls from outside: proved by an access token, and looked up at the module that knows."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.message_factory import GetMessageClass

from aura.kernel.contracts import describe
from aura.kernel.errors import PermissionDenied, Unauthenticated
from aura.kernel.security.access_tokens import AccessTokenInvalid, AccessTokens, PublicKeys
from aura.kernel.security.actor import Actor

ACCESS_SECONDS = 5.0
"""How long what a caller may be is taken for known."""
ENDED_SECONDS = 1.0
"""How soon it is asked again whether a caller without access has some: their old token is good for minutes."""
KEYS_SECONDS = 60.0
KEYS_AGAIN_SECONDS = 1.0
"""How soon keys are asked for again because of a key that is not known: anybody can make up its id."""
REMEMBERED_CALLERS = 10_000
TIMEOUT_SECONDS = 5.0


class ServiceNotCovered(PermissionDenied):
    """A client called a service that its token is not good for."""

    reason = "CALLER_NOT_ADMITTED"

    def __init__(self, service: str, *, actor: Actor) -> None:
        super().__init__(f"this client may not call {service}; an admin says which services it may call")
        self.actor = actor


@dataclass(frozen=True, kw_only=True)
class _Access:
    """What a caller may be, as far as it was known at a time of the monotonic clock."""

    user_id: str
    roles: frozenset[int]
    services: frozenset[str]
    known_at: float


class AccessService:
    """Calls the service that a module's specification names as `access_service`: it knows keys and callers.

    The kernel knows no module, so it goes by the service's name and what its contract says of messages.

    Args:
        service: its full name.
        channel: returns the way there.
    """

    def __init__(self, service: str, channel: Callable[[], Any]) -> None:
        self._service = service
        self._channel = channel

    async def keys(self) -> PublicKeys:
        """Returns the public keys, by their ids."""
        answer = await self._call("ListVerificationKeys")
        return {key.kid: Ed25519PublicKey.from_public_bytes(_decoded(key.x)) for key in answer.keys}

    async def access(self, *, subject: str, session: str) -> Any:
        """Returns what the user of a login session is now, or, without a session, the client `subject`.

        Raises:
            Unauthenticated: The session, the user or the client is no more.
        """
        if session:
            return await self._call("GetAccess", session_id=session)
        return await self._call("GetAccess", client_id=subject)

    async def _call(self, name: str, **fields: str) -> Any:
        method = describe(self._service).methods_by_name[name]
        request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = self._channel().unary_unary(
            f"/{self._service}/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return await call(request(**fields), timeout=TIMEOUT_SECONDS)


class Callers:
    """Finds out who calls with an access token."""

    def __init__(self, service: AccessService, *, now: Callable[[], float] = time.time) -> None:
        self._service = service
        self._tokens = AccessTokens(self._find_keys, now=now)
        self._keys: PublicKeys = {}
        self._keys_at = -KEYS_SECONDS
        self._known: OrderedDict[str, _Access] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._changes = 0
        self.changed = asyncio.Event()
        """Set whenever something is forgotten."""

    async def actor(self, text: str, *, service: str, source: str) -> Actor:
        """Returns who calls a service with a token.

        Raises:
            AccessTokenInvalid: The token is not valid, or whose it is has no access any more.
            ServiceNotCovered: It is a client's, and not good for the service.
        """
        token = await self._tokens.verify(text)
        access = await self._access(token.subject, token.session)
        if access.user_id != token.subject:
            raise AccessTokenInvalid
        actor = Actor(user_id=token.subject, roles=access.roles, session_id=token.session, source=source)
        if not token.session and service not in access.services:
            raise ServiceNotCovered(service, actor=actor)
        return actor

    async def again(self, actor: Actor) -> Actor:
        """Returns what a caller, who was found before, is now.

        Raises:
            AccessTokenInvalid: They have no access any more.
        """
        access = await self._access(actor.user_id, actor.session_id)
        return replace(actor, roles=access.roles)

    def forget(self, changed: str) -> None:
        """Forgets what is known of a user, a client or a session, given by its id; of all, if that is empty."""
        self._changes += 1
        self.changed.set()
        if not changed:
            self._known.clear()
        for key in [key for key, access in self._known.items() if changed in {key, access.user_id}]:
            del self._known[key]

    async def _access(self, subject: str, session: str) -> _Access:
        key, changes = session or subject, self._changes
        known = self._known.get(key)
        if known is not None and time.monotonic() - known.known_at < ACCESS_SECONDS:
            return known
        self._known.pop(key, None)
        if time.monotonic() - self._ended.get(key, -ENDED_SECONDS) < ENDED_SECONDS:
            raise AccessTokenInvalid
        try:
            answer = await self._service.access(subject=subject, session=session)
        except Unauthenticated:
            self._ended[key] = time.monotonic()
            if len(self._ended) > REMEMBERED_CALLERS:
                self._ended.popitem(last=False)
            raise AccessTokenInvalid from None
        found = _Access(
            user_id=answer.user_id,
            roles=frozenset(answer.roles),
            services=frozenset(answer.services),
            known_at=time.monotonic(),
        )
        if changes == self._changes:  # otherwise it may be what was before
            self._known[key] = found
        if len(self._known) > REMEMBERED_CALLERS:
            self._known.popitem(last=False)
        return found

    async def _find_keys(self, *, again: bool) -> PublicKeys:
        age = time.monotonic() - self._keys_at
        if age > KEYS_SECONDS or (again and age > KEYS_AGAIN_SECONDS):
            self._keys = await self._service.keys()
            self._keys_at = time.monotonic()
        return self._keys


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
