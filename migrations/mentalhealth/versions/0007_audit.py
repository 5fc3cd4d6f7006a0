"""The audit trail."""

from alembic import op

from aura.kernel.migrations import create_audit_table

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    create_audit_table("mentalhealth")


def downgrade() -> None:
    op.drop_table("audit", schema="mentalhealth")
