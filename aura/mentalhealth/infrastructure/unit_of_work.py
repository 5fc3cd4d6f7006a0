"""The unit of work on PostgreSQL."""

from __future__ import annotations

from aura.kernel.unit_of_work import UnitOfWork
from aura.mentalhealth.infrastructure.repositories.therapy_session_repository import PostgresTherapySessionRepository


class PostgresUnitOfWork(UnitOfWork):
    """A transaction in the module's schema."""

    @property
    def sessions(self) -> PostgresTherapySessionRepository:
        """The sessions, inside the transaction."""
        return PostgresTherapySessionRepository(self.execute)
