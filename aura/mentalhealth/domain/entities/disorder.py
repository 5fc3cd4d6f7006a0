"""An entry of the catalogue of disorders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CATEGORY_LENGTH = 3


class DisorderKind(StrEnum):
    """What an entry is."""

    CHAPTER = "CHAPTER"
    BLOCK = "BLOCK"
    CATEGORY = "CATEGORY"
    SUBCATEGORY = "SUBCATEGORY"


@dataclass(frozen=True, kw_only=True)
class Disorder:
    """An entry of ICD-10-CM, chapter 5; `position` is its place in the catalogue's order."""

    code: str
    position: int
    title: str
    kind: DisorderKind
    billable: bool
    parent_code: str
    child_codes: tuple[str, ...]
    inclusion_terms: tuple[str, ...]
    includes: tuple[str, ...]
    excludes1: tuple[str, ...]
    excludes2: tuple[str, ...]
    code_first: tuple[str, ...]
    use_additional_code: tuple[str, ...]
    code_also: tuple[str, ...]
    notes: tuple[str, ...]
    release: str


def canonical_code(text: str) -> str:
    """Returns a code as ICD-10-CM writes it: "f331" is "F33.1"; what is no code stays what it is."""
    code = text.strip().upper()
    if "-" in code or "." in code or len(code) <= CATEGORY_LENGTH:
        return code
    return f"{code[:CATEGORY_LENGTH]}.{code[CATEGORY_LENGTH:]}"
