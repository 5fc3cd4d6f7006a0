"""What all use cases that change a session have in common."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from aura.kernel.etags import require_etag
from aura.mentalhealth.application.interfaces.unit_of_work import UnitOfWork
from aura.mentalhealth.application.use_cases.get_therapy_session import GetTherapySession
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.therapy_session import TherapySession
from aura.mentalhealth.domain.entities.viewer import Viewer
from aura.mentalhealth.domain.errors import SessionNotFound


class ChangeTherapySession:
    """Changes one session in one unit of work; a repeated request changes nothing and returns it as it is now."""

    def __init__(self, *, unit_of_work: UnitOfWork, get: GetTherapySession, viewer: Viewer) -> None:
        self._unit_of_work = unit_of_work
        self._get = get
        self._viewer = viewer

    async def apply(
        self,
        session_id: UUID,
        change: Callable[[TherapySession], None],
        *,
        by: Collection[Part] = tuple(Part),
        staff: bool = True,
        etag: str = "",
    ) -> TherapySession:
        """Returns the session after a change that those may make who take one of some parts in it, and admins.

        Where `staff` holds, whoever sees all sessions may make it too.

        Raises:
            SessionNotFound: There is none with this id, or none that is the caller's to change.
            EtagMismatch: It is not at the version that a non-empty `etag` names.
        """
        if (known := await self._unit_of_work.replayed()) is not None:
            return await self._get.execute(known)
        async with self._unit_of_work as work:
            session = await work.sessions.get_for_update(session_id)
            if not self._viewer.may_act(session, *by, staff=staff):
                raise SessionNotFound
            require_etag(etag, version=session.version)
            change(session)
            await work.sessions.save(session)
            work.publish_all(session.events)
            await work.commit(session_id)
        return self._viewer.shown(session)
