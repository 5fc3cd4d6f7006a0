"""By which wordings the entries of the catalogue are found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from aura.mentalhealth.domain.entities.disorder import Disorder, DisorderKind
from aura.mentalhealth.domain.entities.disorder_term import DisorderTerm, TermKind
from aura.mentalhealth.domain.services.clinical_abbreviations import Abbreviation
from aura.mentalhealth.domain.services.search_words import join_hyphens, singular, words_of

# Parentheses hold what may be left out, brackets synonyms; NOS means "unspecified" (ICD-10-CM Guidelines, I.A.6-7).
_PARENTHESES = re.compile(r"\([^)]*\)")
_BRACKETS = re.compile(r"\[[^]]*\]")
_CLOSING_SYNONYM = re.compile(r"\[([^]]*)\]$")
_UNSPECIFIED = re.compile(
    r",?\s*\b(NOS|unspecified( type)?|not otherwise specified|uncomplicated"
    r"|not due to a substance or known physiological condition)\b",
    re.IGNORECASE,
)
_PREFIXED = re.compile(r"\b(post|non|multi|schizo|bi(?=polar))(?=[a-z]{4})", re.IGNORECASE)

MEANINGS = 10
"""More codes than one meaning of an abbreviation has."""

_SPELLINGS = (
    (re.compile("iz(?=[aei])"), "is"),
    (re.compile("behavior"), "behaviour"),
    (re.compile("^pedo"), "paedo"),
    (re.compile("anesth"), "anaesth"),
    (re.compile("rrhea"), "rrhoea"),
    (re.compile("^feces"), "faeces"),
    (re.compile("^gyne"), "gynae"),
    (re.compile("anancast"), "anankast"),
    (re.compile("anankast"), "anancast"),
    (re.compile("korsakov"), "korsakoff"),
    (re.compile("munchausen"), "munchhausen"),
    (re.compile("^i$"), "1"),
    (re.compile("^ii$"), "2"),
)
"""How words of the catalogue, which are American, are written elsewhere."""


def terms_of(catalogue: Iterable[Disorder], abbreviations: Iterable[Abbreviation]) -> Iterator[DisorderTerm]:
    """Yields the terms of all entries, which come each parent before its children.

    Entries have the terms of the categories and subcategories above them too, and one term of all words together.
    """
    heritage: dict[str, list[DisorderTerm]] = {}
    meanings = list(abbreviations)
    for disorder in catalogue:
        own = list(_own_terms(disorder, meanings))
        inherited = [
            replace(term, code=disorder.code, inherited=True) for term in heritage.get(disorder.parent_code, ())
        ]
        if disorder.kind in {DisorderKind.CATEGORY, DisorderKind.SUBCATEGORY}:
            heritage[disorder.code] = [term for term in (*own, *inherited) if term.kind is not TermKind.CODE]
        yield from own
        yield from inherited
        yield _everything(disorder, (*own, *inherited))


def forms_of(word: str) -> set[str]:
    """Returns the ways to write a word of the catalogue, in the singular too."""
    forms = {word} | {pattern.sub(replacement, word) for pattern, replacement in _SPELLINGS}
    return forms | set(map(singular, forms))


def wordings_of(text: str) -> set[tuple[str, ...]]:
    """Returns the ways to say a text of the catalogue, each as its words."""
    outside = _BRACKETS.sub(" ", text)
    shapes = {text, outside, _PARENTHESES.sub(" ", text), _PARENTHESES.sub(" ", outside)}
    shapes.update(found[1] for found in _CLOSING_SYNONYM.finditer(text))
    shapes |= {_UNSPECIFIED.sub("", shape) for shape in shapes}
    shapes |= {join_hyphens(shape) for shape in shapes} | {_PREFIXED.sub(r"\1 ", shape) for shape in shapes}
    return {words for words in map(words_of, shapes) if words}


def _own_terms(disorder: Disorder, abbreviations: list[Abbreviation]) -> Iterator[DisorderTerm]:
    yield DisorderTerm(code=disorder.code, text=disorder.code, kind=TermKind.CODE, words=words_of(disorder.code))
    yield from _wordings(disorder.code, disorder.title, TermKind.TITLE)
    for text in chain(disorder.inclusion_terms, disorder.includes):
        yield from _wordings(disorder.code, text, TermKind.SYNONYM)
    for abbreviation in abbreviations:
        if disorder.code in abbreviation.codes:
            place = abbreviation.codes.index(disorder.code)
            kind = TermKind.ABBREVIATION
            yield from _wordings(disorder.code, abbreviation.short, kind, abbreviation.rank * MEANINGS + place)
            for term in _wordings(disorder.code, abbreviation.stands_for, kind, place):
                yield replace(term, whole=False)  # the catalogue's own words go before


def _wordings(code: str, text: str, kind: TermKind, preference: int = 0) -> Iterator[DisorderTerm]:
    for words in sorted(wordings_of(text)):
        whole = words == words_of(text)
        yield DisorderTerm(code=code, text=text, kind=kind, whole=whole, preference=preference, words=words)


def _everything(disorder: Disorder, terms: Iterable[DisorderTerm]) -> DisorderTerm:
    words = tuple(dict.fromkeys(chain.from_iterable(term.words for term in terms)))
    return DisorderTerm(code=disorder.code, text=disorder.title, kind=TermKind.EVERYTHING, inherited=True, words=words)
