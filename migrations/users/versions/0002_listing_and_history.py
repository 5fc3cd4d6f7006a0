"""What lists of users are sorted and searched by, and the history of users."""

from alembic import op
from sqlalchemy import Column, DateTime, ForeignKey, Integer, Text, Uuid

from aura.kernel.migrations import make_append_only

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.alter_column("users", "email_key", type_=Text(collation="C"))
    op.add_column("users", Column("name_key", Text(collation="C"), nullable=False, server_default=""))
    op.execute("UPDATE users SET name_key = lower(normalize(display_name, NFKC))")
    op.alter_column("users", "name_key", server_default=None)
    op.create_index("users_by_create_time", "users", ["create_time", "user_id"])
    op.create_index("users_by_name", "users", ["name_key", "user_id"])
    op.create_index("users_by_role", "users", ["roles"], postgresql_using="gin")
    op.create_table(
        "user_changes",
        Column("user_id", Uuid, ForeignKey("users.users.user_id"), primary_key=True),
        Column("version", Integer, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("role", Text),
        Column("actor", Text, nullable=False),
        Column("reason", Text, nullable=False),
        Column("occur_time", DateTime(timezone=True), nullable=False),
    )
    make_append_only("users", "user_changes")


def downgrade() -> None:
    op.drop_table("user_changes")
    op.drop_index("users_by_role", "users")
    op.drop_index("users_by_name", "users")
    op.drop_index("users_by_create_time", "users")
    op.drop_column("users", "name_key")
