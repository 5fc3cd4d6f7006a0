"""What lists of sessions are sorted by, and sessions to which the patient did not come."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index("therapy_sessions_by_start", "therapy_sessions", ["start_time", "session_id"])
    op.create_index("therapy_sessions_by_therapist", "therapy_sessions", ["therapist_id", "start_time", "session_id"])
    op.create_index("therapy_sessions_by_patient", "therapy_sessions", ["patient_id", "start_time", "session_id"])
    _states_are("SCHEDULED", "IN_PROGRESS", "COMPLETED", "CANCELLED", "NO_SHOW")


def downgrade() -> None:
    _states_are("SCHEDULED", "IN_PROGRESS", "COMPLETED", "CANCELLED")
    op.drop_index("therapy_sessions_by_patient", "therapy_sessions")
    op.drop_index("therapy_sessions_by_therapist", "therapy_sessions")
    op.drop_index("therapy_sessions_by_start", "therapy_sessions")


def _states_are(*states: str) -> None:
    op.drop_constraint("therapy_sessions_state_known", "therapy_sessions")
    listed = ", ".join(f"'{state}'" for state in states)
    op.create_check_constraint("therapy_sessions_state_known", "therapy_sessions", f"state IN ({listed})")
