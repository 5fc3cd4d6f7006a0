"""The tables that carry events, and who is not to be booked any more."""

from alembic import op
from sqlalchemy import Column, DateTime, Uuid

from aura.kernel.migrations import create_event_tables, drop_event_tables

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    create_event_tables("mentalhealth")
    op.create_table(
        "inactive_users",
        Column("user_id", Uuid, primary_key=True),
        Column("create_time", DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("inactive_users")
    drop_event_tables("mentalhealth")
