"""The tables that carry events."""

from aura.kernel.migrations import create_event_tables, drop_event_tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_event_tables("users")


def downgrade() -> None:
    drop_event_tables("users")
