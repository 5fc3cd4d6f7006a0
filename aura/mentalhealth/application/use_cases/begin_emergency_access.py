"""Begins an emergency access."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from aura.kernel.clock import Clock
from aura.kernel.ids import new_id
from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.application.interfaces.unit_of_work import UnitOfWork
from aura.mentalhealth.application.interfaces.user_directory import UserDirectory
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.errors import ParticipantNotFound
from aura.mentalhealth.domain.repositories.emergency_access_repository import EmergencyAccessRepository


class BeginEmergencyAccess:
    """Lets a therapist see a patient who is not theirs, for a while."""

    def __init__(
        self,
        *,
        unit_of_work: UnitOfWork,
        accesses: EmergencyAccessRepository,
        access_audit: AccessAudit,
        users: UserDirectory,
        clock: Clock,
        viewer: Viewer,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._accesses = accesses
        self._access_audit = access_audit
        self._users = users
        self._clock = clock
        self._viewer = viewer

    async def execute(self, patient_id: UUID, *, reason: str, duration: timedelta) -> EmergencyAccess:
        """Begins the access; it counts once it stands in the audit trail, and is told, in one transaction.

        Raises:
            ParticipantNotFound: There is no such user.
        """
        user_id = self._viewer.user_id
        if user_id is None:
            raise ParticipantNotFound(participant=Part.THERAPIST)
        if (known := await self._unit_of_work.replayed()) is not None:
            access = await self._accesses.get(known)
            await self._access_audit.emergencies([access])
            return access
        if patient_id not in await self._users.find([patient_id]):
            raise ParticipantNotFound(participant=Part.PATIENT)
        access = EmergencyAccess.begin(
            access_id=new_id(),
            user_id=user_id,
            patient_id=patient_id,
            reason=reason,
            duration=duration,
            now=self._clock.now(),
        )
        async with self._unit_of_work as work:
            await work.emergency_accesses.add(access)
            work.publish_all(access.events)
            await work.commit(access.access_id)
        return access
