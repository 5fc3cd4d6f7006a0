"""Who looks at sessions, or changes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aura.mentalhealth.domain.entities.participant import Part

if TYPE_CHECKING:
    from uuid import UUID

    from aura.mentalhealth.domain.entities.therapy_session import TherapySession


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Somebody, and which sessions are theirs.

    Attributes:
        user_id: Who it is; None for the platform itself.
        parts: What they may be in a session.
        sees_all: Whether they see the sessions of others.
        sees_remarks: Whether they see what was said of sessions that are not theirs.
        administers: Whether they may do for others what is theirs to do.
    """

    user_id: UUID | None
    parts: frozenset[Part] = frozenset()
    sees_all: bool = False
    sees_remarks: bool = False
    administers: bool = False

    @classmethod
    def platform(cls) -> Viewer:
        """Returns the platform itself, from which nothing is kept."""
        return cls(user_id=None, sees_all=True, sees_remarks=True, administers=True)

    def is_in(self, session: TherapySession, *parts: Part) -> bool:
        """Returns whether they take one of some parts in a session; any, if none is named."""
        people = {Part.THERAPIST: session.therapist_id, Part.PATIENT: session.patient_id}
        return any(people[part] == self.user_id for part in self.parts.intersection(parts or Part))

    def sees(self, session: TherapySession) -> bool:
        """Returns whether a session is theirs to see."""
        return self.sees_all or self.is_in(session)

    def shown(self, session: TherapySession) -> TherapySession:
        """Returns a session as they see it: without the remarks, where those are not theirs to see."""
        if self.sees_remarks or self.is_in(session):
            return session
        return replace(session, transitions=[replace(each, reason="") for each in session.transitions])

    def may_act(self, session: TherapySession, *parts: Part, staff: bool) -> bool:
        """Returns whether they may do what those may who take one of some parts, and admins, or all staff."""
        return self.administers or (staff and self.sees_all) or self.is_in(session, *parts)
