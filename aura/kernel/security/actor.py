"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL_ACTOR_ID = "local"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The user on whose behalf a call is made, and the module through which it came, if any."""

    user_id: str
    via_module: str | None = None

    @classmethod
    def local(cls) -> Actor:
        """Returns the caller on the server's own machine, who may do everything."""
        return _LOCAL


_LOCAL = Actor(user_id=LOCAL_ACTOR_ID)
