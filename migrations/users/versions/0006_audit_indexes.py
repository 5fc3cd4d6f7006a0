"""What the audit trail is searched by: whoever made it before had it by subject only."""

from aura.kernel.migrations import create_audit_indexes

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    create_audit_indexes("users")


def downgrade() -> None:
    pass  # a new audit trail has them from the beginning
