"""Establishes who acts in a call."""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING

from aura.kernel.contracts import may_be_repeated
from aura.kernel.interceptors.chain import DO_NOT_RETRY, Interceptor
from aura.kernel.security.access_tokens import AccessTokenInvalid, bearer_token
from aura.kernel.security.actor import ANONYMOUS_ID, LOCAL_ACTOR_ID, Actor
from aura.kernel.security.callers import ServiceNotCovered
from aura.kernel.security.internal_identity import IDENTITY_METADATA, RESERVED_PREFIX, IdentityRefused
from aura.kernel.security.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aura.kernel.interceptors.call import Call
    from aura.kernel.security.callers import Callers
    from aura.kernel.security.internal_identity import InternalIdentities

acting_user: ContextVar[str] = ContextVar("acting_user", default=LOCAL_ACTOR_ID)
"""On whose behalf the present task calls other modules. What a module does to its `Call` does not change it."""

AUTHORIZATION = "authorization"
CALLER_MODULE, CALLER_USER = "aura-caller-module", "aura-caller-user"


class CallerIdentity(Interceptor):
    """Reads the caller from what the in-process channel was bound to, or from the token of another process.

    A call with neither is from outside: of whom its access token says, or of nobody knows whom. Any other reserved
    metadata is refused: someone tries to pass for what they are not.
    """

    def __init__(
        self,
        *,
        identities: InternalIdentities,
        process: str,
        callers: Callers | None = None,
        sources: Sources | None = None,
    ) -> None:
        self._sources = sources or Sources()
        self._identities = identities
        self._process = process
        self._callers = callers

    async def on_call(self, call: Call) -> None:
        """Sets the call's actor.

        Raises:
            IdentityRefused: The call claims to come from within the platform, and does not prove it.
            AccessTokenInvalid: It carries an access token that is not to be trusted.
        """
        bound = call.context.auth_context()
        if CALLER_MODULE in bound:
            call.in_process = True
            call.actor = Actor(user_id=_text(bound[CALLER_USER]), via_module=_text(bound[CALLER_MODULE]))
        for key in call.metadata:
            if key.startswith(RESERVED_PREFIX) and (key != IDENTITY_METADATA or CALLER_MODULE in bound):
                raise IdentityRefused("is not to be given by hand")
        if IDENTITY_METADATA in call.metadata:
            self._open(call, call.metadata[IDENTITY_METADATA])
        elif CALLER_MODULE not in bound:
            call.actor = await self._from_outside(call, bound)
        acting_user.set(call.actor.user_id)
        if call.actor.via_module is not None or call.forwarded:
            # A module sees one attempt wherever the other is hosted, and decides by itself; so does who calls by way of
            # another process.
            call.context.set_trailing_metadata((*(call.context.trailing_metadata() or ()), DO_NOT_RETRY))

    async def _from_outside(self, call: Call, bound: Mapping[str, object]) -> Actor:
        source = self._sources.of(call.context.peer() or "", call.sent, bound)
        nobody = call.actor = _nobody(source)  # until it is known who it is
        if AUTHORIZATION not in call.metadata:
            return nobody
        values = [value for key, value in call.sent if key == AUTHORIZATION]
        token = bearer_token(values)
        if self._callers is None:
            raise AccessTokenInvalid
        service = call.method.path[1:].rpartition("/")[0]
        try:
            return await self._callers.actor(token, service=service, source=source)
        except ServiceNotCovered as refused:
            call.actor = refused.actor
            raise

    def _open(self, call: Call, token: str | bytes) -> None:
        path = call.method.path
        identity = self._identities.open(
            token if isinstance(token, bytes) else token.encode(),
            method=path,
            process=self._process,
            repeatable=may_be_repeated(path),
        )
        call.actor = Actor(
            user_id=identity.user,
            via_module=identity.module or None,
            roles=identity.roles,
            session_id=identity.session,
            source=identity.source,
        )
        call.forwarded = identity.forwarded


@lru_cache(maxsize=1024)
def _nobody(source: str) -> Actor:
    return Actor(user_id=ANONYMOUS_ID, source=source)


def _text(values: object) -> str:
    (value,) = values  # type: ignore[misc] # an iterable of bytes, as gRPC has it
    return value.decode()  # type: ignore[no-any-return, has-type]
