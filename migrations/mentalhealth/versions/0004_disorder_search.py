"""The wordings by which disorders are found.

They and queries are folded by the same code: where that changes, a new revision has to make the terms again.
"""

from collections.abc import Iterator
from typing import Any

from alembic import op
from sqlalchemy import Boolean, Column, ForeignKey, Integer, Text, text
from sqlalchemy.dialects.postgresql import TSVECTOR

from aura.kernel.database import role_of
from aura.mentalhealth.domain.entities.disorder_term import DisorderTerm
from aura.mentalhealth.domain.services.clinical_abbreviations import ABBREVIATIONS
from aura.mentalhealth.domain.services.disorder_terms import forms_of, terms_of
from aura.mentalhealth.domain.services.search_words import significant
from aura.mentalhealth.infrastructure.external.icd_10_cm import read_catalogue

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    table = op.create_table(
        "disorder_terms",
        Column("term_id", Integer, primary_key=True),
        Column("code", Text, ForeignKey("mentalhealth.disorders.code"), nullable=False),
        Column("text", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("inherited", Boolean, nullable=False),
        Column("whole", Boolean, nullable=False),
        Column("preference", Integer, nullable=False),
        Column("wording", Text, nullable=False),
        Column("length", Integer, nullable=False),
        Column("words", TSVECTOR, nullable=False),
    )
    op.bulk_insert(table, list(_rows(list(terms_of(read_catalogue(), ABBREVIATIONS)))))
    op.create_index("disorder_terms_by_words", "disorder_terms", ["words"], postgresql_using="gin")
    op.execute(f"REVOKE INSERT, UPDATE, DELETE ON disorder_terms FROM {role_of('mentalhealth')}")
    op.execute("ANALYZE disorder_terms")


def downgrade() -> None:
    op.drop_table("disorder_terms")


def _rows(terms: list[DisorderTerm]) -> Iterator[dict[str, Any]]:
    lexemes = _lexemes({word for term in terms for word in term.words})
    for term_id, term in enumerate(terms):
        said = significant(term.words)
        found_by = set().union(*(lexemes[word] for word in term.words))
        yield {
            "term_id": term_id,
            "code": term.code,
            "text": term.text,
            "kind": term.kind,
            "inherited": term.inherited,
            "whole": term.whole,
            "preference": term.preference,
            "wording": " ".join(said),
            "length": len(said),
            "words": " ".join(sorted(found_by)),  # letters and digits only: nothing to quote
        }


def _lexemes(words: set[str]) -> dict[str, set[str]]:
    """Returns each word's forms, and the stems of all of them."""
    forms = {word: forms_of(word) for word in words}
    query = text("SELECT word, ts_lexize('english_stem', word) FROM unnest(CAST(:words AS text[])) AS word")
    every_form = sorted(set().union(*forms.values()))
    stems = {row.word: set(row.ts_lexize) for row in op.get_bind().execute(query, {"words": every_form})}
    return {word: given.union(*(stems[form] for form in given)) for word, given in forms.items()}
