"""A real PostgreSQL 18 that development and tests run inside their own data directory."""

from aura.kernel.embedded_postgres.errors import DataDirectoryInUse, EmbeddedPostgresError
from aura.kernel.embedded_postgres.supervisor import EmbeddedPostgres

__all__ = ["DataDirectoryInUse", "EmbeddedPostgres", "EmbeddedPostgresError"]
