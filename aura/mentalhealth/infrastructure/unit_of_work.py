"""The unit of work on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable

from aura.kernel.events.types import event_type_of
from aura.kernel.unit_of_work import UnitOfWork
from aura.mentalhealth.domain.events import SessionEvent
from aura.mentalhealth.infrastructure.event_mapping import to_audit_entry, to_proto
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

    def publish_all(self, events: Iterable[SessionEvent]) -> None:
        """Publishes events, and adds them to the audit trail, if the unit of work is committed."""
        for event in events:
            message = to_proto(event)
            self.publish(message)
            self.audit(to_audit_entry(event, action=event_type_of(type(message)).name))
