"""Who may take which part in a session."""

from __future__ import annotations

from aura.mentalhealth.domain.entities.participant import Part, Participant
from aura.mentalhealth.domain.errors import ParticipantInactive, ParticipantNotFound, ParticipantRoleMissing


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
