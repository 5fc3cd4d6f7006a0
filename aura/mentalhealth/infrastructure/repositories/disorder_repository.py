"""The catalogue of disorders in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from aura.kernel.database import Execute, fields_of
from aura.mentalhealth.domain.entities.disorder import Disorder, DisorderKind
from aura.mentalhealth.domain.entities.disorder_match import DisorderMatch
from aura.mentalhealth.domain.errors import DisorderNotFound
from aura.mentalhealth.domain.repositories.disorder_repository import DisorderFilter
from aura.mentalhealth.infrastructure.repositories.disorder_search import SEARCH, parameters
from aura.mentalhealth.infrastructure.tables import disorders


class PostgresDisorderRepository:
    """Reads the catalogue that the migration loaded."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def get(self, code: str) -> Disorder:
        """Returns the entry of a canonical code; raises `DisorderNotFound`."""
        rows = await self._execute(select(disorders).where(disorders.c.code == code))
        if not rows:
            raise DisorderNotFound
        return _to_disorder(rows[0])

    async def list(self, where: DisorderFilter, *, after: int, limit: int) -> Sequence[Disorder]:
        """Returns up to `limit` entries behind the position `after`."""
        query = select(disorders).where(disorders.c.position > after).order_by(disorders.c.position).limit(limit)
        if where.parent_code is not None:
            query = query.where(disorders.c.parent_code == where.parent_code)
        if where.kind is not None:
            query = query.where(disorders.c.kind == where.kind)
        if where.billable_only:
            query = query.where(disorders.c.billable)
        return [_to_disorder(row) for row in await self._execute(query)]

    async def search(self, words: Sequence[str], *, billable_only: bool, limit: int) -> Sequence[DisorderMatch]:
        """Returns up to `limit` entries about which all words are said, best first."""
        rows = await self._execute(SEARCH, parameters(words, billable_only=billable_only, limit=limit))
        return [DisorderMatch(disorder=_to_disorder(row), matched_text=row.matched_text) for row in rows]


def _to_disorder(row: Any) -> Disorder:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in fields_of(row).items()
        if name != "matched_text"
    }
    return Disorder(**{**values, "kind": DisorderKind(row.kind)})
