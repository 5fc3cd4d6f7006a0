"""Who makes a call, as the module's rules see them."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.security.actor import Actor
from aura.mentalhealth.domain.entities.participant import Part
from aura.mentalhealth.domain.entities.viewer import Viewer
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_PATIENT, ROLE_SUPPORT, ROLE_THERAPIST

PARTS = {ROLE_PATIENT: Part.PATIENT, ROLE_THERAPIST: Part.THERAPIST}


def viewer_of(actor: Actor) -> Viewer:
    """Returns who makes a call. A module's call, or an event, is the platform's own."""
    if actor.via_module is not None:
        return Viewer.platform()
    return Viewer(
        user_id=_user_id(actor),
        parts=frozenset(part for role, part in PARTS.items() if actor.holds(role)),
        sees_all=actor.holds(ROLE_SUPPORT, ROLE_ADMIN),
        sees_remarks=actor.holds(ROLE_ADMIN),
        administers=actor.holds(ROLE_ADMIN),
    )


def _user_id(actor: Actor) -> UUID | None:
    try:
        return UUID(actor.user_id)
    except ValueError:
        return None
