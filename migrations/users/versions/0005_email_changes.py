"""Codes to change an address with; several registrations with one address, each with a code of its own."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
    CREATE TABLE users.email_changes (
      user_id uuid PRIMARY KEY REFERENCES users.users,
      email text NOT NULL,
      code_hash bytea NOT NULL,
      expire_time timestamptz NOT NULL
    )
    """)
    op.execute("ALTER TABLE users.registrations DROP CONSTRAINT registrations_pkey")
    op.execute("ALTER TABLE users.registrations ADD PRIMARY KEY (email_key, code_hash)")


def downgrade() -> None:
    op.execute("DELETE FROM users.registrations")
    op.execute("ALTER TABLE users.registrations DROP CONSTRAINT registrations_pkey")
    op.execute("ALTER TABLE users.registrations ADD PRIMARY KEY (email_key)")
    op.execute("DROP TABLE users.email_changes")
