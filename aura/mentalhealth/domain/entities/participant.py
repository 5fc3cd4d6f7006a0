"""Those who take part in a session."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Part(StrEnum):
    """What a person is in a session."""

    THERAPIST = "therapist"
    PATIENT = "patient"

    @property
    def required_role(self) -> str:
        """The role that a user needs for this part, as the users module's contract names it."""
        return f"ROLE_{self.name}"


@dataclass(frozen=True, kw_only=True)
class Participant:
    """A user, as far as sessions are concerned."""

    user_id: UUID
    roles: frozenset[str]
    active: bool
    time_zone: str
