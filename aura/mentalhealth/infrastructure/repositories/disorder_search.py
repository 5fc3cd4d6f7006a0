"""The statement that searches the catalogue of disorders and ranks what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import TSQUERY, distinct_on

from aura.mentalhealth.domain.entities.disorder_term import TermKind
from aura.mentalhealth.domain.services.search_words import singular
from aura.mentalhealth.infrastructure.tables import disorder_terms as terms
from aura.mentalhealth.infrastructure.tables import disorders

WORDS = bindparam("words", type_=ARRAY(Text))
WORDING = bindparam("wording", type_=Text)
BEGUN = bindparam("begun", type_=Text)
COMPLETE = bindparam("complete", type_=Text)
BILLABLE_ONLY = bindparam("billable_only", type_=Boolean)
LIMIT = bindparam("limit", type_=Integer)


def parameters(words: Sequence[str], *, billable_only: bool, limit: int) -> dict[str, Any]:
    """Returns what `SEARCH` takes.

    Words are letters and digits: in a text search query nothing needs quoting. And as no parser reads it, none parts
    them.
    """
    return {
        "words": list(words),
        "wording": " ".join(words),
        "begun": "&".join(f"'{word}':*" for word in words),
        "complete": "&".join(f"('{word}'|'{singular(word)}')" for word in words),
        "billable_only": billable_only,
        "limit": limit,
    }


def _search() -> Select[Any]:
    """Returns a query for whole entries, best first, each with the text that matched best as `matched_text`."""
    best = _best_terms()
    is_range = disorders.c.code.contains("-")
    return (
        select(disorders, best.c.text.label("matched_text"))
        .join(best, best.c.code == disorders.c.code)
        .where(or_(~BILLABLE_ONLY, disorders.c.billable))
        .order_by(best.c.rank, best.c.preference, best.c.by_stem, is_range, best.c.length, disorders.c.position)
        .limit(LIMIT)
    )


def _best_terms() -> CTE:
    """Returns, of each entry that all words match, the term that they match best."""
    rank = _rank().label("rank")
    by_stem = ~_has(cast(BEGUN, TSQUERY)).label("by_stem")
    return (
        select(terms.c.code, terms.c.text, terms.c.preference, terms.c.length, rank, by_stem)
        .where(_has(_begun_or_of_one_stem()))
        .ext(distinct_on(terms.c.code))
        .order_by(terms.c.code, rank, terms.c.preference, by_stem, terms.c.length, terms.c.term_id)
        .cte("best")
    )


def _rank() -> ColumnElement[int]:
    """Returns a term's rank, 0 the best; each condition stands behind those that are better."""
    as_long = terms.c.length == func.cardinality(WORDS)
    exact = and_(as_long, _has(cast(COMPLETE, TSQUERY)))
    is_code, own = terms.c.kind == TermKind.CODE, ~terms.c.inherited
    best_first = (
        and_(is_code, exact),
        and_(is_code, as_long),
        and_(own, terms.c.whole, terms.c.wording == WORDING),
        and_(own, exact),
        exact,
        and_(own, func.starts_with(terms.c.wording, WORDING)),
        and_(own, terms.c.kind == TermKind.TITLE),
        own,
        terms.c.kind != TermKind.EVERYTHING,
    )
    return case(*((condition, rank) for rank, condition in enumerate(best_first)), else_=len(best_first))


def _has(query: ColumnElement[str]) -> ColumnElement[bool]:
    return terms.c.words.bool_op("@@")(query)


def _begun_or_of_one_stem() -> ColumnElement[str]:
    """Returns a text search query for all words, each of which may begin another or share its stem."""
    word = func.unnest(WORDS).column_valued("word")
    stems = func.ts_lexize(literal_column("'english_stem'"), word, type_=ARRAY(Text))
    stem = func.coalesce(func.nullif(func.array_to_string(stems, ""), ""), word)
    return select(cast(func.string_agg(func.format("('%1$s':*|'%2$s')", word, stem), "&"), TSQUERY)).scalar_subquery()


SEARCH = _search()
