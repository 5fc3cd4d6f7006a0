"""Lists entries of the catalogue."""

from __future__ import annotations

from aura.kernel.pagination import Page, Position
from aura.mentalhealth.domain.entities.disorder import Disorder
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderFilter, DisorderRepository

BEFORE_FIRST = [-1]


class ListDisorders:
    """Lists entries in the catalogue's order, page by page."""

    def __init__(self, *, disorders: DisorderRepository) -> None:
        self._disorders = disorders

    async def execute(self, where: DisorderFilter, *, after: Position | None, page_size: int) -> Page[Disorder]:
        """Returns the page that begins behind the position `after`; the first one if that is None."""
        (position,) = after or BEFORE_FIRST
        found = await self._disorders.list(where, after=position, limit=page_size + 1)
        return Page.cut(found, size=page_size, key=lambda disorder: [disorder.position])
