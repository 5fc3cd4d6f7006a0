"""Lists emergency accesses."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from aura.kernel.pagination import Page, Position
from aura.mentalhealth.application.interfaces.access_audit import AccessAudit
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.repositories.emergency_access_repository import (
    EmergencyAccessFilter,
    EmergencyAccessRepository,
)


class ListEmergencyAccesses:
    """Lists accesses, the newest first, page by page."""

    def __init__(self, *, accesses: EmergencyAccessRepository, access_audit: AccessAudit, viewer: Viewer) -> None:
        self._accesses = accesses
        self._access_audit = access_audit
        self._viewer = viewer

    async def execute(
        self, where: EmergencyAccessFilter, *, after: Position | None, page_size: int
    ) -> Page[EmergencyAccess]:
        """Returns the page of what the caller may see that begins behind `after`; the first one if that is None."""
        last, found = UUID(after[0]) if after else None, []
        own = self._viewer.user_id
        if not self._viewer.administers and where.user_id is None:
            where = replace(where, user_id=own)
        if self._viewer.administers or (own is not None and where.user_id == own):
            found = list(await self._accesses.list(where, after=last, limit=page_size + 1))
        page = Page.cut(found, size=page_size, key=lambda access: [str(access.access_id)])
        await self._access_audit.emergencies(page.items)
        return page
