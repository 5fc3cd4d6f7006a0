"""Statements that stay the same, which run on the driver itself."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.types import ARRAY, TypeEngine

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Insert, Select

_DIALECT = PGDialect_asyncpg(dbapi=PGDialect_asyncpg.import_dbapi())  # type: ignore[no-untyped-call]


class Query:
    """A statement whose text never changes, only its parameters do: compiled once, when it is made.

    SQLAlchemy builds it and has no part in running it, which for a small one would cost more than all else. So the
    driver's own types go in and come out; TypeError if one of the statement's types would need converting.
    """

    __slots__ = ("_constants", "_names", "_row", "sql", "statement")

    def __init__(self, statement: Select[Any] | Insert) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        for name, parameter in compiled.binds.items():
            if parameter.expanding or _is_converted(parameter.type, "bind_processor"):
                raise TypeError(f"parameter {name} must be converted by SQLAlchemy; execute the statement itself")
        columns = statement.exported_columns
        for column in columns:
            if _is_converted(column.type, "result_processor"):
                raise TypeError(f"column {column} must be converted by SQLAlchemy; execute the statement itself")
        self.statement = statement
        self.sql = compiled.string
        names = [column.name for column in columns]
        row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc] # noqa: PYI024 it has any statement's
        self._row = row._make
        self._names = tuple(compiled.positiontup or ())
        self._constants = {name: given.value for name, given in compiled.binds.items() if not given.required}

    def arguments(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Returns what the driver takes for `parameters`, in its order. Raises KeyError if one is missing."""
        given = {**self._constants, **parameters} if self._constants else parameters
        return [given[name] for name in self._names]

    def rows(self, records: Iterable[Iterable[Any]]) -> list[Any]:
        """Returns the driver's records as rows whose columns are attributes, as those of SQLAlchemy's rows are."""
        return list(map(self._row, records))


def _is_converted(kind: TypeEngine[Any], processor: str) -> bool:
    item = kind.item_type if isinstance(kind, ARRAY) else kind  # a list of what the driver knows, it knows too
    implementation = item.dialect_impl(_DIALECT)
    arguments = (_DIALECT, None) if processor == "result_processor" else (_DIALECT,)
    return getattr(implementation, processor)(*arguments) is not None
