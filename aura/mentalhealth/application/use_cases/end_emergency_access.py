"""Ends an emergency access."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.clock import Clock
from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.application.interfaces.unit_of_work import UnitOfWork
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.errors import EmergencyAccessNotFound


class EndEmergencyAccess:
    """Ends an access before its time."""

    def __init__(self, *, unit_of_work: UnitOfWork, access_audit: AccessAudit, clock: Clock, viewer: Viewer) -> None:
        self._unit_of_work = unit_of_work
        self._access_audit = access_audit
        self._clock = clock
        self._viewer = viewer

    async def execute(self, access_id: UUID) -> EmergencyAccess:
        """Returns the access, which has ended; one that had ended before is as it was.

        Raises:
            EmergencyAccessNotFound: There is none with this id, or it is another therapist's.
        """
        async with self._unit_of_work as work:
            access = await work.emergency_accesses.get_for_update(access_id)
            if not self._viewer.administers and access.user_id != self._viewer.user_id:
                raise EmergencyAccessNotFound
            if access.is_active(now := self._clock.now()):
                access.end(now)
                await work.emergency_accesses.save(access)
                work.audit_end(access)
                await work.commit()
                return access
        await self._access_audit.emergencies([access])
        return access
