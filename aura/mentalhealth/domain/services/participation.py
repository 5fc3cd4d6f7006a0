"""Who may take which part in a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aura.mentalhealth.domain.entities.participant import Part, Participant
from aura.mentalhealth.domain.errors import (
    BookingNotAdmitted,
    ParticipantInactive,
    ParticipantNotFound,
    ParticipantRoleMissing,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from aura.mentalhealth.domain.entities.therapy_session import TherapySession
    from aura.mentalhealth.domain.entities.viewer import Viewer


def require_active(session: TherapySession, inactive: Collection[UUID]) -> None:
    """Sees that none of a session's participants is among those whose accounts are out of use.

    Raises:
        ParticipantInactive: One is.
    """
    for part, user_id in ((Part.THERAPIST, session.therapist_id), (Part.PATIENT, session.patient_id)):
        if user_id in inactive:
            raise ParticipantInactive(participant=part)


def require_own(therapist_id: UUID, patient_id: UUID, viewer: Viewer) -> None:
    """Sees that a booking is the caller's own: whether the people exist makes no difference.

    Raises:
        BookingNotAdmitted: It is not.
    """
    own = {Part.THERAPIST: therapist_id, Part.PATIENT: patient_id}
    if not viewer.sees_all and all(own[part] != viewer.user_id for part in viewer.parts):
        raise BookingNotAdmitted


def admitted(participant: Participant | None, part: Part) -> Participant:
    """Returns the participant if they may take the part.

    Raises:
        ParticipantNotFound: There is no such user.
        ParticipantInactive: Their account is deactivated.
        ParticipantRoleMissing: They lack the role.
    """
    if participant is None:
        raise ParticipantNotFound(participant=part)
    if not participant.active:
        raise ParticipantInactive(participant=part)
    if part.required_role not in participant.roles:
        raise ParticipantRoleMissing(participant=part, required_role=part.required_role)
    return participant


def found(participant: Participant | None, part: Part) -> Participant:
    """Returns the participant if they may take the part; it does not tell why somebody may not.

    Raises:
        ParticipantNotFound: There is no such user, their account is deactivated, or they lack the role.
    """
    if participant is None or not participant.active or part.required_role not in participant.roles:
        raise ParticipantNotFound(participant=part)
    return participant
