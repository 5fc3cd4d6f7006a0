from __future__ import annotations

import uuid

import pytest

from aura.mentalhealth.domain.entities.participant import Part, Participant
from aura.mentalhealth.domain.errors import ParticipantInactive, ParticipantNotFound, ParticipantRoleMissing
from aura.mentalhealth.domain.services.participation import admitted, found


def person(*roles: str, active: bool = True) -> Participant:
    return Participant(user_id=uuid.uuid4(), roles=frozenset(roles), active=active, time_zone="UTC")


def test_admits_who_holds_the_role():
    therapist = person("ROLE_PATIENT", "ROLE_THERAPIST")

    assert admitted(therapist, Part.THERAPIST) is therapist


def test_refuses_an_unknown_person():
    with pytest.raises(ParticipantNotFound):
        admitted(None, Part.PATIENT)


def test_refuses_a_deactivated_person():
    with pytest.raises(ParticipantInactive):
        admitted(person("ROLE_PATIENT", active=False), Part.PATIENT)


def test_refuses_a_person_without_the_role():
    with pytest.raises(ParticipantRoleMissing) as refused:
        admitted(person("ROLE_PATIENT"), Part.THERAPIST)

    assert refused.value.metadata == {"participant": "therapist", "required_role": "ROLE_THERAPIST"}


def test_finds_who_holds_the_role():
    therapist = person("ROLE_PATIENT", "ROLE_THERAPIST")

    assert found(therapist, Part.THERAPIST) is therapist


def test_does_not_tell_why_somebody_is_not_to_be_found():
    unfit = (None, person("ROLE_PATIENT"), person("ROLE_THERAPIST", active=False))

    refusals = []
    for each in unfit:
        with pytest.raises(ParticipantNotFound) as refused:
            found(each, Part.THERAPIST)
        refusals.append((str(refused.value), refused.value.metadata))

    assert len(set(map(str, refusals))) == 1
