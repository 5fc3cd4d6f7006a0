"""The unit of work on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable

from aura.kernel.events.types import event_type_of
from aura.kernel.unit_of_work import UnitOfWork
from aura.mentalhealth.domain.entities.emergency_access import EmergencyAccess
from aura.mentalhealth.domain.events import EmergencyAccessBegun, SessionEvent
from aura.mentalhealth.infrastructure.event_mapping import emergency_entry, to_audit_entry, to_proto
from aura.mentalhealth.infrastructure.repositories.emergency_access_repository import PostgresEmergencyAccessRepository
from aura.mentalhealth.infrastructure.repositories.inactive_user_repository import PostgresInactiveUserRepository
from aura.mentalhealth.infrastructure.repositories.therapy_session_repository import PostgresTherapySessionRepository


class PostgresUnitOfWork(UnitOfWork):
    """A transaction in the module's schema."""

    @property
    def sessions(self) -> PostgresTherapySessionRepository:
        """The sessions, inside the transaction."""
        return PostgresTherapySessionRepository(self.execute)

    @property
    def inactive_users(self) -> PostgresInactiveUserRepository:
        """Who is not to be booked any more, inside the transaction."""
        return PostgresInactiveUserRepository(self.execute)

    @property
    def emergency_accesses(self) -> PostgresEmergencyAccessRepository:
        """The emergency accesses, inside the transaction."""
        return PostgresEmergencyAccessRepository(self.execute)

    def audit_end(self, access: EmergencyAccess) -> None:
        """Adds the end of an emergency access to the audit trail, if the unit of work is committed."""
        self.audit(emergency_entry(access, action="emergency_access.ended"))

    def publish_all(self, events: Iterable[SessionEvent | EmergencyAccessBegun]) -> None:
        """Publishes events, and adds them to the audit trail, if the unit of work is committed."""
        for event in events:
            message = to_proto(event)
            self.publish(message)
            self.audit(to_audit_entry(event, action=event_type_of(type(message)).name))
