"""Establishes who acts in a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aura.kernel.interceptors.chain import Interceptor
from aura.kernel.security.actor import Actor

if TYPE_CHECKING:
    from aura.kernel.interceptors.call import Call

CALLER_MODULE, CALLER_USER = "aura-caller-module", "aura-caller-user"


class Identity(Interceptor):
    """Reads the caller from what the in-process channel was bound to; a call from outside is the local actor's.

    Metadata is never read for this: anyone could write it.
    """

    async def on_call(self, call: Call) -> None:
        """Sets the call's actor."""
        bound = call.context.auth_context()
        if CALLER_MODULE in bound:
            call.actor = Actor(user_id=_text(bound[CALLER_USER]), via_module=_text(bound[CALLER_MODULE]))


def _text(values: object) -> str:
    (value,) = values  # type: ignore[misc] # an iterable of bytes, as gRPC has it
    return value.decode()  # type: ignore[no-any-return, has-type]
