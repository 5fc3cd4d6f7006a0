"""Emergency access to patients."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE mentalhealth.emergency_accesses (
      access_id uuid PRIMARY KEY,
      user_id uuid NOT NULL,
      patient_id uuid NOT NULL,
      reason text NOT NULL,
      create_time timestamptz NOT NULL,
      expire_time timestamptz NOT NULL,
      end_time timestamptz
    )
    """)
    op.execute("CREATE INDEX emergency_accesses_holder ON mentalhealth.emergency_accesses (user_id, patient_id)")


def downgrade() -> None:
    op.execute("DROP TABLE mentalhealth.emergency_accesses")
