"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL_ACTOR_ID = "local"
KERNEL = "kernel"
"""Stands for a module where the platform itself calls: a process, or the command line on the server's machine."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The user on whose behalf a call is made.

    Attributes:
        user_id: Who that is.
        via_module: The module through which the call came, if any.
        roles: What the user may be, as numbers of `aura.options.v1.Role`; known of callers from outside only.
        session_id: The login session that the caller's access token belongs to, if any.
        source: The network address that the call came from, if it came from outside.
    """

    user_id: str
    via_module: str | None = None
    roles: frozenset[int] = frozenset()
    session_id: str = ""
    source: str = ""

    @classmethod
    def local(cls) -> Actor:
        """Returns the caller on the server's own machine, who may do everything."""
        return _LOCAL


_LOCAL = Actor(user_id=LOCAL_ACTOR_ID)
