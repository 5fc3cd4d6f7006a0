"""Examples, made from schemas: always the same ones, and such as the schemas admit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from aura.kernel.gateway.openapi.json_schema import Schema, admits

TIME = "2028-06-15T09:30:00Z"

_BY_FORMAT = {
    "date-time": TIME,
    "email": "ada@example.org",
    "hostname": "example.org",
    "int64": "1",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uint64": "1",
    "uri": "https://example.org/",
    "uri-reference": "/",
}
_BY_NAME = {
    "email": "ada@example.org",
    "displayName": "Ada Lovelace",
    "endTime": "2028-06-15T10:20:00Z",
    "etag": "1",
    "locale": "en",
    "newPassword": "seven green bicycles",
    "password": "correct horse battery staple",
    "phoneNumber": "+4930901820",
    "timeZone": "Europe/Berlin",
}
"""What reads better than any text, for names that say what is meant."""
_TEXTS = ("example", "text", "a", "A", "1", "1s", "100", "123456", "0" * 32, "0" * 26, "", "YQ==")
_DEEPEST = 5


class NoExample(Exception):
    """No example is known of a schema: it has a pattern that none of the usual texts match."""


class Examples:
    """Makes examples of schemas.

    Args:
        components: the schemas that others refer to, by name.
    """

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self._components = components

    def smallest(self, schema: Schema, name: str = "") -> Any:
        """Returns an example with what a schema requires and nothing else.

        Args:
            schema: the schema.
            name: what it is the schema of.

        Raises:
            NoExample: None is known.
        """
        return self._of(schema, name, (), fully=False)

    def fullest(self, schema: Schema) -> Any:
        """Returns an example with all that a schema has a name for; lists have one item. Raises NoExample."""
        return self._of(schema, "", (), fully=True)

    def _of(self, schema: Schema, name: str, inside: tuple[str, ...], *, fully: bool) -> Any:
        if "$ref" in schema:
            target = schema["$ref"].rpartition("/")[2]
            if inside.count(target) or len(inside) > _DEEPEST:
                raise NoExample(target)
            return self._of(self._components[target] | _beside(schema), name, (*inside, target), fully=fully)
        if choices := schema.get("anyOf"):
            return self._of(choices[0], name, inside, fully=fully)
        match _type_of(schema):
            case "object":
                return self._object(schema, inside, fully=fully)
            case "array":
                return self._array(schema, name, inside, fully=fully)
            case _:
                return next(_admitted(schema, name))

    def _object(self, schema: Schema, inside: tuple[str, ...], *, fully: bool) -> dict[str, Any]:
        required = {*schema.get("required", ()), *_first_choice(schema)}
        excluded = _all_choices(schema) - required
        example: dict[str, Any] = {}
        for name, value in schema.get("properties", {}).items():
            if name in required or (fully and name not in excluded):
                try:
                    example[name] = self._of(value, name, inside, fully=fully)
                except NoExample:
                    if name in required:
                        raise
        return example

    def _array(self, schema: Schema, name: str, inside: tuple[str, ...], *, fully: bool) -> list[Any]:
        wanted = max(schema.get("minItems", 0), int(fully))
        if not wanted:
            return []
        try:
            item = self._of(schema["items"], name, inside, fully=fully)
        except (NoExample, KeyError) as error:
            if schema.get("minItems"):
                raise NoExample(name) from error
            return []
        if wanted > 1 and schema.get("uniqueItems"):
            raise NoExample(name)
        return [item] * wanted


def _beside(schema: Schema) -> Schema:
    return {keyword: value for keyword, value in schema.items() if keyword != "$ref"}


def _type_of(schema: Schema) -> str:
    kind = schema.get("type", "")
    return str(kind[0] if isinstance(kind, list) else kind)


def _first_choice(schema: Schema) -> set[str]:
    """Returns the first of the properties of which there must be exactly one."""
    choices = schema.get("oneOf", ())
    return {*choices[0]["required"]} if choices and "required" in choices[-1] else set()


def _all_choices(schema: Schema) -> set[str]:
    return {name for choice in schema.get("oneOf", ()) for name in choice.get("required", ())}


def _admitted(schema: Schema, name: str) -> Iterator[Any]:
    for candidate in _candidates(schema, name):
        if admits(schema, candidate):
            yield candidate
    raise NoExample(name)


def _candidates(schema: Schema, name: str) -> Iterator[Any]:
    yield from schema.get("examples", ())
    if "const" in schema:
        yield schema["const"]
    if "enum" in schema:
        yield from reversed(schema["enum"][:2])  # the first is the one that means nothing
        yield from schema["enum"][2:]
        return
    match _type_of(schema):
        case "boolean":
            yield from (True, False)
        case "integer" | "number":
            yield from _numbers(schema)
        case "string":
            yield from _strings(schema, name)
        case "null":
            yield None
        case _:
            yield name or "example"


def _numbers(schema: Schema) -> Iterator[float]:
    yield from (1, 0, 10, 100, -1)
    for keyword, step in (("minimum", 0), ("maximum", 0), ("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        if keyword in schema:
            yield schema[keyword] + step
    if {"exclusiveMinimum", "exclusiveMaximum"} <= schema.keys():
        yield (schema["exclusiveMinimum"] + schema["exclusiveMaximum"]) / 2


def _strings(schema: Schema, name: str) -> Iterator[str]:
    if name in _BY_NAME and schema.get("format") in {None, "email", "date-time"}:
        yield _BY_NAME[name]
    form = schema.get("format")
    if form == "uuid" or (form is None and name.endswith("Id")):
        yield _uuid(name)
    if form in _BY_FORMAT:
        yield _BY_FORMAT[form]
    if form is not None:
        return
    if schema.get("contentEncoding"):
        yield from ("YQ==", "", "YWJj" * -(-schema.get("minLength", 0) // 4))
        return
    yield from _TEXTS
    length = max(schema.get("minLength", 1), 1)
    for letter in "a", "A", "0":
        yield letter * length


def _uuid(name: str) -> str:
    """Returns a UUIDv7 that is always the same for a name, and another one for another name."""
    return f"01980f5a-7c4e-7b2a-9d11-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
