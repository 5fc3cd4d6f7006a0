"""What all use cases that show sessions have in common where they are not the caller's."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.clock import Clock
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.repositories.emergency_access_repository import EmergencyAccessRepository


class Emergencies:
    """Knows whether the caller has an emergency access."""

    def __init__(self, *, accesses: EmergencyAccessRepository, clock: Clock, viewer: Viewer) -> None:
        self._accesses = accesses
        self._clock = clock
        self._viewer = viewer

    async def access_to(self, patient_id: UUID) -> UUID | None:
        """Returns the id of the caller's access to a patient; None if they have none, or need none."""
        user_id = self._viewer.user_id
        if user_id is None or self._viewer.sees_remarks or Part.THERAPIST not in self._viewer.parts:
            return None
        return await self._accesses.active(user_id=user_id, patient_id=patient_id, now=self._clock.now())
