"""The right of a therapist, taken by themselves, to see a patient who is not theirs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from aura.mentalhealth.domain.events import EmergencyAccessBegun

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

DEFAULT_DURATION = timedelta(hours=1)


@dataclass(kw_only=True)
class EmergencyAccess:
    """An emergency access, which ends by itself."""

    access_id: UUID
    user_id: UUID
    patient_id: UUID
    reason: str
    create_time: datetime
    expire_time: datetime
    end_time: datetime | None = None
    events: list[EmergencyAccessBegun] = field(default_factory=list, compare=False)
    """What has happened to it since it was made or read."""

    @classmethod
    def begin(
        cls, *, access_id: UUID, user_id: UUID, patient_id: UUID, reason: str, duration: timedelta, now: datetime
    ) -> EmergencyAccess:
        """Returns a new access."""
        expire_time = now + duration
        told = EmergencyAccessBegun(
            access_id=access_id, user_id=user_id, patient_id=patient_id, expire_time=expire_time
        )
        return cls(
            access_id=access_id,
            user_id=user_id,
            patient_id=patient_id,
            reason=reason,
            create_time=now,
            expire_time=expire_time,
            events=[told],
        )

    def is_active(self, now: datetime) -> bool:
        """Returns whether it shows anything."""
        return self.end_time is None and now < self.expire_time

    def end(self, now: datetime) -> None:
        """Ends it."""
        self.end_time = now
