"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass

from generated.aura.options.v1.access_pb2 import ROLE_SERVICE

LOCAL_ACTOR_ID = "local"
"""Stands for a user where the platform does something by itself."""
ANONYMOUS_ID = "anonymous"
"""Stands for a user where the caller does not say who they are."""
CLIENT = int(ROLE_SERVICE)
"""The role of programs, which have no login sessions."""
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
        """Returns what acts where the platform does something by itself."""
        return _LOCAL

    @property
    def is_known(self) -> bool:
        """Whether the caller has proved who they are."""
        return self.user_id != ANONYMOUS_ID

    @property
    def is_revocable(self) -> bool:
        """Whether the caller, who is from outside, has rights that may end."""
        return bool(self.session_id) or CLIENT in self.roles

    def holds(self, *roles: int) -> bool:
        """Returns whether the caller holds one of some roles, given as numbers of `aura.options.v1.Role`."""
        return not self.roles.isdisjoint(roles)


_LOCAL = Actor(user_id=LOCAL_ACTOR_ID)
