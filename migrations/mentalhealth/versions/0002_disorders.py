"""The catalogue of disorders: ICD-10-CM, chapter 5."""

from alembic import op
from sqlalchemy import ARRAY, Boolean, Column, Integer, Text

from aura.kernel.database import role_of
from aura.mentalhealth.infrastructure.external.icd_10_cm import read_catalogue

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    table = op.create_table(
        "disorders",
        Column("code", Text, primary_key=True),
        Column("position", Integer, nullable=False, unique=True),
        Column("title", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("billable", Boolean, nullable=False),
        Column("parent_code", Text, nullable=False),
        Column("child_codes", ARRAY(Text), nullable=False),
        Column("inclusion_terms", ARRAY(Text), nullable=False),
        Column("includes", ARRAY(Text), nullable=False),
        Column("excludes1", ARRAY(Text), nullable=False),
        Column("excludes2", ARRAY(Text), nullable=False),
        Column("code_first", ARRAY(Text), nullable=False),
        Column("use_additional_code", ARRAY(Text), nullable=False),
        Column("code_also", ARRAY(Text), nullable=False),
        Column("notes", ARRAY(Text), nullable=False),
        Column("release", Text, nullable=False),
    )
    op.bulk_insert(table, [vars(disorder) for disorder in read_catalogue()])
    op.execute(f"REVOKE INSERT, UPDATE, DELETE ON disorders FROM {role_of('mentalhealth')}")


def downgrade() -> None:
    op.drop_table("disorders")
