"""What sessions need to know of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from aura.mentalhealth.domain.entities.participant import Participant


class UserDirectory(Protocol):
    """Looks users up."""

    async def find(self, user_ids: Sequence[UUID]) -> Mapping[UUID, Participant]:
        """Returns the users that exist, by their ids; one that does not is left out."""
        ...
