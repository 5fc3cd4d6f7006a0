"""Where the catalogue of disorders is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aura.mentalhealth.domain.entities.disorder import Disorder, DisorderKind


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
