"""How a text becomes the words that it is found by; texts of the catalogue and queries alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

LONGEST_WORD = 64
"""No word of the catalogue is longer; what is cut off could match nothing."""

SHORTEST_PLURAL = 3

FUNCTION_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "as",
        "at",
        "by",
        "for",
        "from",
        "in",
        "into",
        "is",
        "of",
        "on",
        "or",
        "than",
        "that",
        "the",
        "their",
        "this",
        "to",
        "was",
        "were",
        "with",
    ]
)
"""Words that are looked for only where nothing else is."""

_APOSTROPHES = re.compile("['\u2018\u2019\u02bc`\u00b4]")
_INITIALS = re.compile(r"\b((?:[^\W\d_]\.){2,}[^\W\d_]?)")
_INSIDE_CODE = re.compile(r"\b([a-z]\d[0-9a-z])(?:\.(?=[0-9a-z])|-(?=[a-z]\d))")
_WORD = re.compile(r"[^\W_]+")
_INNER_HYPHENS = re.compile(r"(?<=[^\W\d_])[-\u2010\u2011](?=[^\W\d_])")


def words_of(text: str) -> tuple[str, ...]:
    """Returns the words in their order, folded: no case, accents, apostrophes, punctuation; "F33.1" is "f331"."""
    folded = _fold(_APOSTROPHES.sub("", text))
    folded = _INITIALS.sub(lambda found: found[1].replace(".", ""), folded)
    return tuple(word[:LONGEST_WORD] for word in _WORD.findall(_INSIDE_CODE.sub(r"\1", folded)))


def significant(words: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the words without function words and repetitions; all of them if there are no others."""
    return tuple(dict.fromkeys(word for word in words if word not in FUNCTION_WORDS)) or words


def singular(word: str) -> str:
    """Returns a word without its plural's ending, never empty: "disorders" and "disorder" are alike."""
    if len(word) < SHORTEST_PLURAL or word.endswith(("ss", "us", "is")):
        return word
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def join_hyphens(text: str) -> str:
    """Returns the text with hyphenated words made one: "post-traumatic" is "posttraumatic"."""
    return _INNER_HYPHENS.sub("", text)


def readings(text: str) -> Iterator[tuple[str, ...]]:
    """Yields the words to look for, then what else may be meant; each is to be tried if those before found nothing.

    A function word at the end may be the beginning of another: "personality his" for "histrionic". Hyphens part words,
    or are too many: "schizo-typal".
    """
    tried: list[tuple[str, ...]] = [()]
    for spelling in (text, join_hyphens(text)):
        words = words_of(spelling)
        for reading in (_with_last(words), significant(words)):
            if reading not in tried:
                tried.append(reading)
                yield reading


def _with_last(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*significant(words[:-1]), *words[-1:])))


def _fold(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
