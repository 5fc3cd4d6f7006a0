"""Finds an entry of the catalogue."""

from __future__ import annotations

from aura.mentalhealth.domain.entities.disorder import Disorder, canonical_code
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderRepository


class GetDisorder:
    """Returns an entry by its code."""

    def __init__(self, *, disorders: DisorderRepository) -> None:
        self._disorders = disorders

    async def execute(self, code: str) -> Disorder:
        """Returns the entry; the code may lack its dot, and be in lower case.

        Raises:
            DisorderNotFound: The catalogue has no such code.
        """
        return await self._disorders.get(canonical_code(code))
