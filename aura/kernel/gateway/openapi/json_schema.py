"""The part of JSON Schema (2020-12) that the document uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
"""A schema, as its keywords."""


def admits(schema: Mapping[str, Any], value: object) -> bool:
    """Returns whether a schema admits a value, as far as the values of single fields go; `$ref` is not followed."""
    return all(check(schema[keyword], value) for keyword, check in _CHECKS.items() if keyword in schema)


def merged(*schemas: Mapping[str, Any]) -> Schema:
    """Returns one schema that asks for what each of some schemas asks for."""
    whole: Schema = {}
    for schema in schemas:
        for keyword, value in schema.items():
            if whole.setdefault(keyword, value) != value:
                whole.setdefault("allOf", []).append({keyword: value})
    return whole


def reference(kind: str, name: str) -> Schema:
    """Returns a reference to a component of the document."""
    return {"$ref": f"#/components/{kind}/{name}"}


def with_patterns(patterns: Iterable[str]) -> Schema:
    """Returns a schema of text that matches all of some patterns."""
    return merged(*({"pattern": pattern} for pattern in patterns))


def _length(minimum: bool) -> Callable[[int, Any], bool]:  # noqa: FBT001 it makes two keywords of one
    return lambda limit, value: len(value) >= limit if minimum else len(value) <= limit


def _has_form(form: str, value: object) -> bool:
    """Returns whether text may be of a format: empty text is of none."""
    return form in _FORMATS_OF_NUMBERS or value != ""


_FORMATS_OF_NUMBERS = {"int32", "uint32", "int64", "uint64", "float", "double"}
_CHECKS: Mapping[str, Callable[[Any, Any], bool]] = {
    "allOf": lambda schemas, value: all(admits(schema, value) for schema in schemas),
    "const": lambda only, value: bool(value == only),
    "enum": lambda some, value: value in some,
    "exclusiveMaximum": lambda limit, value: value < limit,
    "exclusiveMinimum": lambda limit, value: value > limit,
    "format": _has_form,
    "maximum": lambda limit, value: value <= limit,
    "maxItems": _length(minimum=False),
    "maxLength": _length(minimum=False),
    "minimum": lambda limit, value: value >= limit,
    "minItems": _length(minimum=True),
    "minLength": _length(minimum=True),
    "minProperties": _length(minimum=True),
    "not": lambda schema, value: not admits(schema, value),
    "pattern": lambda pattern, value: re.search(pattern, value) is not None,
}
