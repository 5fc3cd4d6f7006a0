"""Where the catalogue of disorders is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aura.mentalhealth.domain.entities.disorder import Disorder, DisorderKind
from aura.mentalhealth.domain.entities.disorder_match import DisorderMatch


@dataclass(frozen=True, kw_only=True)
class DisorderFilter:
    """Which entries to list; what is not set does not limit."""

    parent_code: str | None = None
    kind: DisorderKind | None = None
    billable_only: bool = False


class DisorderRepository(Protocol):
    """Reads the catalogue."""

    async def get(self, code: str) -> Disorder:
        """Returns the entry of a canonical code.

        Raises:
            DisorderNotFound: The catalogue has none.
        """
        ...

    async def list(self, where: DisorderFilter, *, after: int, limit: int) -> Sequence[Disorder]:
        """Returns up to `limit` entries behind the position `after`, in the catalogue's order."""
        ...

    async def search(self, words: Sequence[str], *, billable_only: bool, limit: int) -> Sequence[DisorderMatch]:
        """Returns up to `limit` entries about which all words are said, best first.

        A word matches where another begins with it, or has its stem. Best is the exact code; then codes that begin with
        it, in the catalogue's order; then a text that says just this, of the entry itself or of one above; then a text
        that begins so; then all words in the title, in one synonym, in a text of an entry above, in all texts together.
        """
        ...
