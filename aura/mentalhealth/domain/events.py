"""What has happened to a session, or because of an emergency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from aura.mentalhealth.domain.entities.period import Period
    from aura.mentalhealth.domain.entities.therapy_session import CancellingParty


@dataclass(frozen=True, kw_only=True)
class SessionEvent:
    """Something that has happened to a session."""

    session_id: UUID
    therapist_id: UUID
    patient_id: UUID


@dataclass(frozen=True, kw_only=True)
class TherapySessionScheduled(SessionEvent):
    """It has been booked."""

    period: Period


@dataclass(frozen=True, kw_only=True)
class TherapySessionRescheduled(SessionEvent):
    """It has been moved to another time."""

    period: Period


@dataclass(frozen=True, kw_only=True)
class TherapySessionStarted(SessionEvent):
    """It has begun."""


@dataclass(frozen=True, kw_only=True)
class TherapySessionEnded(SessionEvent):
    """It has ended."""


@dataclass(frozen=True, kw_only=True)
class TherapySessionCancelled(SessionEvent):
    """It has been called off."""

    cancelled_by: CancellingParty


@dataclass(frozen=True, kw_only=True)
class TherapySessionNoShow(SessionEvent):
    """The patient did not come."""


@dataclass(frozen=True, kw_only=True)
class EmergencyAccessBegun:
    """A therapist sees a patient who is not theirs."""

    access_id: UUID
    user_id: UUID
    patient_id: UUID
    expire_time: datetime
