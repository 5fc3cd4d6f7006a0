"""The statement that searches the catalogue of disorders and ranks what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ARRAY, CTE, ColumnElement, Select, Text, and_, case, cast, func, literal, literal_column, select
from sqlalchemy.dialects.postgresql import TSQUERY

from aura.mentalhealth.domain.entities.disorder_term import TermKind
from aura.mentalhealth.domain.services.search_words import singular
from aura.mentalhealth.infrastructure.tables import disorder_terms as terms
from aura.mentalhealth.infrastructure.tables import disorders


def search_statement(words: Sequence[str], *, billable_only: bool, limit: int) -> Select[Any]:
    """Returns a query for whole entries, best first, each with the text that matched best as `matched_text`."""
    best = _best_terms(words)
    is_range = disorders.c.code.contains("-")
    found = select(disorders, best.c.text.label("matched_text")).join(best, best.c.code == disorders.c.code)
    if billable_only:
        found = found.where(disorders.c.billable)
    order = (best.c.rank, best.c.preference, best.c.by_stem, is_range, best.c.length, disorders.c.position)
    return found.order_by(*order).limit(limit)


def _best_terms(words: Sequence[str]) -> CTE:
    """Returns, of each entry that all words match, the term that they match best."""
    rank = _rank(words).label("rank")
    by_stem = ~_has(_every(words, "'{0}':*")).label("by_stem")
    return (
        select(terms.c.code, terms.c.text, terms.c.preference, terms.c.length, rank, by_stem)
        .where(_has(_every_or_stem(words)))
        .distinct(terms.c.code)
        .order_by(terms.c.code, rank, terms.c.preference, by_stem, terms.c.length, terms.c.term_id)
        .cte("best")
    )


def _rank(words: Sequence[str]) -> ColumnElement[int]:
    """Returns a term's rank, 0 the best; each condition stands behind those that are better."""
    wording = " ".join(words)
    as_long = terms.c.length == len(words)
    exact = and_(as_long, _has(_every(words, "('{0}'|'{1}')")))
    is_code, own = terms.c.kind == TermKind.CODE, ~terms.c.inherited
    begins = func.starts_with(terms.c.wording, wording)
    best_first = (
        and_(is_code, exact),
        and_(is_code, as_long),
        and_(own, terms.c.whole, terms.c.wording == wording),
        and_(own, exact),
        exact,
        and_(own, begins),
        and_(own, terms.c.kind == TermKind.TITLE),
        own,
        terms.c.kind != TermKind.EVERYTHING,
    )
    return case(*((condition, rank) for rank, condition in enumerate(best_first)), else_=len(best_first))


def _has(query: ColumnElement[str]) -> ColumnElement[bool]:
    return terms.c.words.bool_op("@@")(query)


def _every(words: Sequence[str], form: str) -> ColumnElement[str]:
    """Returns a text search query for all words, each in a form made of itself (0) and its singular (1).

    Words are letters and digits: nothing needs quoting. And as no parser reads the query, none parts them.
    """
    return cast("&".join(form.format(word, singular(word)) for word in words), TSQUERY)


def _every_or_stem(words: Sequence[str]) -> ColumnElement[str]:
    """Returns a text search query for all words, each of which may begin another or share its stem."""
    word = func.unnest(cast(literal(list(words), ARRAY(Text)), ARRAY(Text))).column_valued("word")
    stems = func.ts_lexize(literal_column("'english_stem'"), word, type_=ARRAY(Text))
    stem = func.coalesce(func.nullif(func.array_to_string(stems, ""), ""), word)
    return select(cast(func.string_agg(func.format("('%1$s':*|'%2$s')", word, stem), "&"), TSQUERY)).scalar_subquery()
