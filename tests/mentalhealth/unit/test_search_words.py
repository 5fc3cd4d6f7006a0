from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aura.mentalhealth.domain.services.search_words import LONGEST_WORD, readings, significant, singular, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Anxiety neurosis", "anxiety neurosis"),
        ("  ANXIETY\tneurosis\n", "anxiety neurosis"),
        ("F33.1", "f331"),
        ("f33.", "f33"),
        ("F01.A11", "f01a11"),
        ("F30-F39", "f30f39"),
        ("f30-", "f30"),
        ("p.t.s.d.", "ptsd"),
        ("P.T.S.D", "ptsd"),
        ("Post-traumatic stress disorder (PTSD)", "post traumatic stress disorder ptsd"),
        ("binge eating/purging type", "binge eating purging type"),
        ("Asperger's", "aspergers"),
        ("Asperger\u2019s", "aspergers"),
        ("Münchausen's", "munchausens"),
        ("Folie à deux", "folie a deux"),
        ("Mu\u0308nchausen", "munchausen"),
        ("\uff30\uff34\uff33\uff24", "ptsd"),
        ("16.0-16.99 kg/m2", "16 0 16 99 kg m2"),
        ("Αγοραφοβία", "αγοραφοβια"),
        ("a\x00b", "a b"),
        ("under_score", "under score"),
        ("& | ! <-> :* ( ) ' \" \\ % ; -- 😀", ""),
        ("", ""),
    ],
)
def test_folds_texts_to_words(text: str, words: str):
    assert " ".join(words_of(text)) == words


@given(st.text())
def test_words_are_short_and_have_nothing_to_quote(text: str):
    words = words_of(text)

    assert all(word.isalnum() and len(word) <= LONGEST_WORD for word in words)
    assert words_of(" ".join(words)) == words


@given(st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1))
def test_the_singular_is_never_empty(word: str):
    assert singular(word)


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("disorders", "disorder"),
        ("phobias", "phobia"),
        ("disabilities", "disability"),
        ("neurosis", "neurosis"),
        ("stress", "stress"),
        ("s", "s"),
        ("ies", "y"),
    ],
)
def test_drops_the_ending_of_the_plural(plural: str, expected: str):
    assert singular(plural) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fear of flying", "fear flying"),
        ("disorder disorder of conduct", "disorder conduct"),
        ("of the", "of the"),
        ("", ""),
    ],
)
def test_function_words_and_repetitions_do_not_count(words: str, expected: str):
    assert significant(tuple(words.split())) == tuple(expected.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("anxiety neurosis", ["anxiety neurosis"]),
        ("fear of flying", ["fear flying"]),
        ("fear of", ["fear of", "fear"]),
        ("of", ["of"]),
        ("schizo-typal", ["schizo typal", "schizotypal"]),
        ("20-25", ["20 25"]),
        ("?!", []),
    ],
)
def test_reads_a_query_in_the_likeliest_way_first(text: str, expected: list[str]):
    assert [" ".join(words) for words in readings(text)] == expected


@given(st.text())
def test_no_reading_is_empty_or_tried_twice(text: str):
    tried = list(readings(text))

    assert all(tried)
    assert len(set(tried)) == len(tried)
