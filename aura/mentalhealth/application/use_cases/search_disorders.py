"""Finds entries of the catalogue by what a person types."""

from __future__ import annotations

from collections.abc import Sequence

from aura.mentalhealth.domain.entities.disorder_match import DisorderMatch
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderRepository
from aura.mentalhealth.domain.services.search_words import readings

DEFAULT_MATCHES = 20
MAXIMUM_MATCHES = 100


class SearchDisorders:
    """Finds entries by code, title, synonym or abbreviation, while they are being typed."""

    def __init__(self, *, disorders: DisorderRepository) -> None:
        self._disorders = disorders

    async def execute(self, text: str, *, billable_only: bool, limit: int) -> Sequence[DisorderMatch]:
        """Returns up to `limit` entries, best first; none if the text has no words."""
        for words in readings(text):
            found = await self._disorders.search(words, billable_only=billable_only, limit=limit)
            if found:
                return found
        return ()
