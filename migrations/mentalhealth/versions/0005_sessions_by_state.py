"""What lists of sessions in one state are sorted by."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index("therapy_sessions_by_state", "therapy_sessions", ["state", "start_time", "session_id"])


def downgrade() -> None:
    op.drop_index("therapy_sessions_by_state", "therapy_sessions")
