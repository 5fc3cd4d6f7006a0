from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from aura.mentalhealth.domain.entities.participant import Participant


class FakeUserDirectory:
    """Knows the users it is given."""

    def __init__(self, *participants: Participant) -> None:
        self._participants = {participant.user_id: participant for participant in participants}

    async def find(self, user_ids: Sequence[UUID]) -> Mapping[UUID, Participant]:
        return {user_id: self._participants[user_id] for user_id in user_ids if user_id in self._participants}
