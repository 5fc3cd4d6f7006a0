"""Therapy sessions: no two of one person overlap, and their history is never changed."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Integer, Text, Uuid
from sqlalchemy.dialects.postgresql import TSTZRANGE

from aura.kernel.migrations import create_idempotency_table, make_append_only

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "therapy_sessions",
        Column("session_id", Uuid, primary_key=True),
        Column("therapist_id", Uuid, nullable=False),
        Column("patient_id", Uuid, nullable=False),
        Column("start_time", DateTime(timezone=True), nullable=False),
        Column("end_time", DateTime(timezone=True), nullable=False),
        Column("time_zone", Text, nullable=False),
        Column("state", Text, nullable=False),
        Column("actual_start_time", DateTime(timezone=True)),
        Column("actual_end_time", DateTime(timezone=True)),
        Column("cancelled_by", Text),
        Column("version", Integer, nullable=False),
        Column("create_time", DateTime(timezone=True), nullable=False),
        Column("update_time", DateTime(timezone=True), nullable=False),
        CheckConstraint("end_time > start_time", name="therapy_sessions_end_after_start"),
        CheckConstraint("therapist_id <> patient_id", name="therapy_sessions_two_people"),
        CheckConstraint(
            "state IN ('SCHEDULED', 'IN_PROGRESS', 'COMPLETED', 'CANCELLED')", name="therapy_sessions_state_known"
        ),
    )
    op.create_table(
        "session_transitions",
        Column("session_id", Uuid, ForeignKey("mentalhealth.therapy_sessions.session_id"), primary_key=True),
        Column("sequence", Integer, primary_key=True),
        Column("from_state", Text),
        Column("to_state", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("occur_time", DateTime(timezone=True), nullable=False),
    )
    make_append_only("mentalhealth", "session_transitions")
    op.create_table(
        "session_participants",
        Column("session_id", Uuid, ForeignKey("mentalhealth.therapy_sessions.session_id"), primary_key=True),
        Column("user_id", Uuid, primary_key=True),
        Column("period", TSTZRANGE, nullable=False),
    )
    # A range type over uuid lets plain GiST compare ids; btree_gist, the usual way, is an extension.
    op.execute("CREATE TYPE uuid_range AS RANGE (subtype = uuid)")
    op.execute(
        "ALTER TABLE session_participants ADD CONSTRAINT session_participants_no_overlap "
        "EXCLUDE USING gist (uuid_range(user_id, user_id, '[]') WITH &&, period WITH &&)"
    )
    create_idempotency_table("mentalhealth")


def downgrade() -> None:
    op.drop_table("idempotency")
    op.drop_table("session_participants")
    op.execute("DROP TYPE uuid_range")
    op.drop_table("session_transitions")
    op.drop_table("therapy_sessions")
