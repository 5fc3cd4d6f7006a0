"""A wording by which an entry of the catalogue is found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TermKind(StrEnum):
    """Where a wording comes from."""

    CODE = "CODE"
    TITLE = "TITLE"
    SYNONYM = "SYNONYM"
    ABBREVIATION = "ABBREVIATION"
    EVERYTHING = "EVERYTHING"


@dataclass(frozen=True, kw_only=True)
class DisorderTerm:
    """One wording of one text about an entry.

    `text` is what a person is shown, `words` what it is found by; the term is whole if those are all words of the text.
    It is inherited if it is a term of an entry above. `preference` orders the meanings of an abbreviation, 0 first.
    """

    code: str
    text: str
    kind: TermKind
    inherited: bool = False
    whole: bool = False
    preference: int = 0
    words: tuple[str, ...]
