from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

import pytest

from aura.mentalhealth.domain.entities.disorder import Disorder
from aura.mentalhealth.domain.entities.disorder_term import DisorderTerm, TermKind
from aura.mentalhealth.domain.services.clinical_abbreviations import ABBREVIATIONS
from aura.mentalhealth.domain.services.disorder_terms import forms_of, terms_of, wordings_of
from aura.mentalhealth.infrastructure.external.icd_10_cm import read_catalogue

TERMS_OF_REVISION_0004 = "8a2e7e4377b4645cc46a4fb24f04b703a68b38245ce049e62060e16be106ac87"


@pytest.fixture(scope="module")
def catalogue() -> Mapping[str, Disorder]:
    return {disorder.code: disorder for disorder in read_catalogue()}


@pytest.fixture(scope="module")
def terms(catalogue: Mapping[str, Disorder]) -> list[DisorderTerm]:
    return list(terms_of(catalogue.values(), ABBREVIATIONS))


@pytest.mark.parametrize(
    ("text", "wordings"),
    [
        ("Panic attack", {"panic attack"}),
        ("Anxiety NOS", {"anxiety nos", "anxiety"}),
        ("Conduct disorder, unspecified", {"conduct disorder unspecified", "conduct disorder"}),
        ("Specific (isolated) phobias", {"specific isolated phobias", "specific phobias"}),
        ("Sleepwalking [somnambulism]", {"sleepwalking somnambulism", "sleepwalking", "somnambulism"}),
        ("Nail-biting", {"nail biting", "nailbiting"}),
        ("Postpartum psychosis", {"postpartum psychosis", "post partum psychosis"}),
    ],
)
def test_knows_the_ways_to_say_a_text(text: str, wordings: set[str]):
    assert {" ".join(words) for words in wordings_of(text)} == wordings


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("behavioral", "behavioural"),
        ("pedophilia", "paedophilia"),
        ("generalized", "generalised"),
        ("depersonalization", "depersonalisation"),
        ("anesthesia", "anaesthesia"),
        ("feces", "faeces"),
        ("disorders", "disorder"),
        ("ii", "2"),
    ],
)
def test_knows_other_spellings(word: str, other: str):
    assert {word, other} <= forms_of(word)


def test_every_abbreviation_stands_for_entries_of_the_catalogue(catalogue: Mapping[str, Disorder]):
    unknown = {code for meaning in ABBREVIATIONS for code in meaning.codes} - set(catalogue)

    assert unknown == set()


def test_meanings_of_an_abbreviation_are_ranked():
    ranks: dict[str, list[int]] = {}
    for meaning in ABBREVIATIONS:
        ranks.setdefault(meaning.short, []).append(meaning.rank)

    assert all(sorted(found) == list(range(len(found))) for found in ranks.values())


def test_an_entry_is_found_by_what_is_said_of_those_above_it(terms: list[DisorderTerm]):
    found = {(term.text, term.inherited) for term in terms if term.code == "F43.11"}

    assert ("PTSD", True) in found
    assert ("Post-traumatic stress disorder, acute", False) in found
    assert not any(text.startswith("Anxiety, dissociative") for text, _ in found), "blocks say too much"


def test_every_entry_has_its_code_its_title_and_everything(
    catalogue: Mapping[str, Disorder], terms: list[DisorderTerm]
):
    kinds = {(term.code, term.kind) for term in terms}

    assert {
        (code, kind) for code in catalogue for kind in (TermKind.CODE, TermKind.TITLE, TermKind.EVERYTHING)
    } <= kinds


def test_terms_are_those_that_the_newest_revision_loads(terms: list[DisorderTerm]):
    lines = (repr((term, [sorted(forms_of(word)) for word in term.words])) for term in terms)
    digest = sha256("\n".join(lines).encode()).hexdigest()

    assert digest == TERMS_OF_REVISION_0004, (
        "databases have other terms: make them again in a new revision, then pin it"
    )
