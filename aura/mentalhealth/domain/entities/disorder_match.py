"""An entry of the catalogue that a search found."""

from __future__ import annotations

from dataclasses import dataclass

from aura.mentalhealth.domain.entities.disorder import Disorder


@dataclass(frozen=True, kw_only=True)
class DisorderMatch:
    """An entry, and the code, title, synonym or abbreviation that matched best."""

    disorder: Disorder
    matched_text: str
