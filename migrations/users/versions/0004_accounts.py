"""How people prove who they are, and the audit trail."""

from alembic import op

from aura.kernel.migrations import create_audit_table

revision = "0004"
down_revision = "0003"

TABLES = """
CREATE TABLE users.credentials (
  user_id uuid PRIMARY KEY REFERENCES users.users,
  password_hash text NOT NULL,
  password_time timestamptz NOT NULL,
  sealed_totp_secret bytea,
  totp_enabled boolean NOT NULL,
  totp_step integer NOT NULL
);
CREATE TABLE users.recovery_codes (
  user_id uuid REFERENCES users.users,
  code_hash bytea,
  PRIMARY KEY (user_id, code_hash)
);
CREATE TABLE users.registrations (
  email_key text COLLATE "C" PRIMARY KEY,
  email text NOT NULL,
  display_name text NOT NULL,
  password_hash text NOT NULL,
  code_hash bytea NOT NULL,
  expire_time timestamptz NOT NULL
);
CREATE TABLE users.reset_codes (
  email_key text COLLATE "C" PRIMARY KEY,
  code_hash bytea NOT NULL,
  expire_time timestamptz NOT NULL
);
CREATE TABLE users.login_sessions (
  session_id uuid PRIMARY KEY,
  user_id uuid NOT NULL REFERENCES users.users,
  salt bytea NOT NULL,
  generation integer NOT NULL,
  rotate_time timestamptz NOT NULL,
  create_time timestamptz NOT NULL,
  idle_expire_time timestamptz NOT NULL,
  expire_time timestamptz NOT NULL,
  source text NOT NULL,
  user_agent text NOT NULL,
  end_time timestamptz,
  end_reason text NOT NULL
);
CREATE INDEX login_sessions_live ON users.login_sessions (user_id, create_time) WHERE end_time IS NULL;
CREATE TABLE users.service_clients (
  client_id uuid PRIMARY KEY,
  display_name text NOT NULL,
  secret_hash bytea NOT NULL,
  services text[] NOT NULL,
  create_time timestamptz NOT NULL,
  end_time timestamptz
);
CREATE TABLE users.throttles (
  key text PRIMARY KEY,
  attempts integer NOT NULL,
  until_time timestamptz NOT NULL
);
CREATE INDEX throttles_until ON users.throttles (until_time);
CREATE TABLE users.signing_keys (
  key_id text PRIMARY KEY,
  public_key bytea NOT NULL,
  sealed_private_key bytea NOT NULL,
  activate_time timestamptz NOT NULL,
  retire_time timestamptz
);
CREATE TABLE users.mail_queue (
  mail_id uuid PRIMARY KEY,
  sealed bytea NOT NULL,
  attempts integer NOT NULL,
  expire_time timestamptz NOT NULL
);
"""
NAMES = (
    "mail_queue",
    "signing_keys",
    "throttles",
    "service_clients",
    "login_sessions",
    "reset_codes",
    "registrations",
    "recovery_codes",
    "credentials",
    "audit",
)


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    create_audit_table("users")


def downgrade() -> None:
    for name in NAMES:
        op.execute(f"DROP TABLE users.{name}")
