"""Users, and remembered requests."""

from alembic import op
from sqlalchemy import ARRAY, CheckConstraint, Column, DateTime, Integer, Text, Uuid

from aura.kernel.migrations import create_idempotency_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "users",
        Column("user_id", Uuid, primary_key=True),
        Column("email", Text, nullable=False),
        Column("email_key", Text, nullable=False, unique=True),
        Column("display_name", Text, nullable=False),
        Column("phone_number", Text, nullable=False),
        Column("time_zone", Text, nullable=False),
        Column("locale", Text, nullable=False),
        Column("roles", ARRAY(Text), nullable=False),
        Column("state", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("create_time", DateTime(timezone=True), nullable=False),
        Column("update_time", DateTime(timezone=True), nullable=False),
        CheckConstraint("state IN ('ACTIVE', 'DEACTIVATED')", name="users_state_known"),
        CheckConstraint("cardinality(roles) > 0", name="users_has_role"),
    )
    create_idempotency_table("users")


def downgrade() -> None:
    op.drop_table("idempotency")
    op.drop_table("users")
