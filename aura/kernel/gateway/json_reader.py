"""Reads messages from JSON, strictly: what is unknown, doubled or of the wrong type is refused with its path."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from aura.kernel.gateway.bindings import WHOLE
from aura.kernel.gateway.refusals import BadRequest
from aura.kernel.gateway.values import Unreadable, nearest, reader_of, shown

MOST_VALUES = 200_000
"""How many values a body may have, about: Python needs a second for some millions of them, whatever their size."""
DEEPEST = 100
"""How many messages may be inside of each other, as in protobuf's own parsers."""

_GOOGLE = "google.protobuf."
_OF_TEXT = {f"{_GOOGLE}{name}": form for name, form in (
    ("Timestamp", "a time as 2026-01-31T12:00:00Z"),
    ("Duration", "a duration as 1.5s"),
    ("FieldMask", "names of fields as displayName,email"),
)}  # fmt: skip
_FREE = {f"{_GOOGLE}{name}" for name in ("Any", "Struct", "Value", "ListValue")}
_WRAPPERS = {f"{_GOOGLE}{name}Value" for name in (
    "Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes",
)}  # fmt: skip

_EXACT, _LARGER_THAN_ANY = 2**53, 1e20
"""Up to where floats hold all integers, and beyond all that fields hold."""
_FINER_THAN_NANOSECONDS = re.compile(r"\.[0-9]{10}")

Setter = Callable[[Message, object, int], None]
"""Sets a field of a message from a JSON value, at a depth."""


class Doubled(ValueError):
    """A JSON object has a name twice."""


def parse_json(text: bytes) -> object:
    """Returns the value that a JSON text (RFC 8259) is.

    Raises:
        BadRequest: It is none; or an object has a name twice, or it is nested too deeply.
    """
    if sum(map(text.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise BadRequest(f"the body has more than {MOST_VALUES} commas and brackets")
    try:
        return json.loads(
            text.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_number
        )
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 (at byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except Doubled as error:
        raise BadRequest(f"the body has {error} twice in one object", field=str(error)) from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except ValueError:
        raise BadRequest("the body is not JSON: it has a number that is too long, or NaN or Infinity") from None


class BodyReader:
    """Makes a request, or one field of it, of a body.

    Args:
        message: the request's descriptor.
        body: the name of the field that the body is; `*` if it is the whole request.
    """

    def __init__(self, message: Descriptor, body: str) -> None:
        self._set = None if body == WHOLE else _Fields.of(message).setters[body]
        self._message = message
        self._name = "" if body == WHOLE else body

    def read(self, body: bytes, message: Message) -> object:
        """Reads a body into a request; returns its JSON.

        Raises:
            BadRequest: It is no JSON, or not of the request's form.
        """
        value = parse_json(body)
        try:
            if self._set is None:
                _Fields.of(self._message).read(value, message, 0)
            elif value is not None:
                self._set(message, value, 0)
        except Unreadable as error:
            if self._name:
                error.inside(self._name)
            raise BadRequest(f"{error.path or 'the body'} {error.problem}", field=error.path) from None
        return value


class _Fields:
    """How the JSON of one type of message is read."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._name = descriptor.name
        self.known: dict[str, FieldDescriptor] = {}
        self.setters: dict[str, Setter] = {}
        for field in descriptor.fields:
            self.known[field.json_name] = self.known[field.name] = field
            self.setters[field.name] = _setter(field)

    @staticmethod
    @cache
    def of(descriptor: Descriptor) -> _Fields:
        return _Fields(descriptor)

    def read(self, value: object, message: Message, depth: int) -> None:
        if not isinstance(value, dict):
            raise Unreadable("must be a JSON object")
        if depth >= DEEPEST:
            raise Unreadable("is nested too deeply")
        given: set[str] = set()
        for key, item in value.items():
            field = self.known.get(key)
            if field is None:
                raise Unreadable(f"is no field of {self._name}{nearest(key, self.known)}").inside(shown(key))
            name = field.name
            if name in given:
                raise Unreadable(f"is given twice, as {field.name} and as {field.json_name}").inside(name)
            given.add(name)
            if item is None and not _takes_null(field):
                continue
            choice = field.containing_oneof
            if choice is not None and len(choice.fields) > 1:
                if choice.name in given:
                    raise Unreadable(f"excludes the others of {choice.name}: give one of them").inside(name)
                given.add(choice.name)
            try:
                self.setters[name](message, item, depth)
            except Unreadable as error:
                raise error.inside(name) from None


def fields_of(message: Descriptor, value: object) -> Iterator[tuple[str, FieldDescriptor]]:
    """Yields the names that a JSON object has, each with the field of the message that it means."""
    known = _Fields.of(message).known
    for name in value if isinstance(value, dict) else ():
        yield name, known[name]


def is_plain(message: Descriptor) -> bool:
    """Returns whether the JSON of a message is an object of its fields."""
    return message.full_name not in {*_OF_TEXT, *_WRAPPERS, *_FREE}


def require_writable(message: Any) -> None:
    """Sees that a time, duration or mask that was set part by part has a JSON form. Raises Unreadable."""
    form = _OF_TEXT.get(message.DESCRIPTOR.full_name)
    if form is not None:
        try:
            message.ToJsonString()
        except (ValueError, OverflowError, json_format.Error):
            raise Unreadable(f"must be part of {form}") from None


def _setter(field: FieldDescriptor) -> Setter:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return _map_setter(field)
    if field.is_repeated:
        return _list_setter(field)
    name = field.name
    if field.message_type is None:
        read = reader_of(field)

        def set_scalar(message: Message, value: object, _: int) -> None:
            setattr(message, name, read(value))

        return set_scalar
    read_into = message_reader(field.message_type)

    def set_message(message: Message, value: object, depth: int) -> None:
        inner = getattr(message, name)
        inner.SetInParent()
        read_into(value, inner, depth + 1)

    return set_message


def _list_setter(field: FieldDescriptor) -> Setter:
    name = field.name
    add = _adder(field)

    def set_list(message: Message, value: object, depth: int) -> None:
        if not isinstance(value, list):
            raise Unreadable("must be a JSON array")
        items = getattr(message, name)
        for index, item in enumerate(value):
            try:
                add(items, item, depth + 1)
            except Unreadable as error:
                raise error.inside(f"[{index}]") from None

    return set_list


def _adder(field: FieldDescriptor) -> Callable[[Any, object, int], None]:
    if field.message_type is None:
        read = reader_of(field)

        def add_scalar(items: Any, value: object, _: int) -> None:
            items.append(read(value))

        return add_scalar
    read_into = message_reader(field.message_type)
    takes_null = _takes_null(field)

    def add_message(items: Any, value: object, depth: int) -> None:
        if value is None and not takes_null:
            raise Unreadable("must not be null")
        read_into(value, items.add(), depth)

    return add_message


def _map_setter(field: FieldDescriptor) -> Setter:
    assert field.message_type is not None
    name, fields = field.name, field.message_type.fields_by_name
    read_key = _key_reader(fields["key"])
    of_messages = fields["value"].message_type
    read_into = message_reader(of_messages) if of_messages is not None else None
    read = reader_of(fields["value"]) if of_messages is None else None

    def set_map(message: Message, value: object, depth: int) -> None:
        if not isinstance(value, dict):
            raise Unreadable("must be a JSON object")
        entries = getattr(message, name)
        for key, item in value.items():
            try:
                known = read_key(key)
                if known in entries:
                    raise Unreadable("is given twice")  # noqa: TRY301 the path is added below
                if read is not None:
                    entries[known] = read(item)
                else:
                    assert read_into is not None
                    read_into(item, entries[known], depth + 1)
            except Unreadable as error:
                raise error.inside(f"[{shown(key)}]") from None

    return set_map


def _key_reader(field: FieldDescriptor) -> Callable[[str], Any]:
    if field.type != FieldDescriptor.TYPE_BOOL:
        return reader_of(field)

    def read(key: str) -> bool:
        if key not in {"true", "false"}:
            raise Unreadable("must be true or false")
        return key == "true"

    return read


def message_reader(descriptor: Descriptor) -> Callable[[object, Any, int], None]:
    """Returns what reads a message of a type from a JSON value into a message, at a depth; raises Unreadable."""
    name = descriptor.full_name
    if name in _OF_TEXT:
        return _text_reader(_OF_TEXT[name])
    if name in _WRAPPERS:
        return _wrapper_reader(descriptor)
    if name in _FREE:
        return _read_free

    def read(value: object, message: Message, depth: int) -> None:
        _Fields.of(descriptor).read(value, message, depth)

    return read


def _text_reader(form: str) -> Callable[[object, Any, int], None]:
    def read(value: object, message: Any, _: int) -> None:
        try:
            if not isinstance(value, str) or not value.isascii() or _FINER_THAN_NANOSECONDS.search(value):
                raise TypeError  # noqa: TRY301 the same is to be said of both
            message.FromJsonString(value)
            message.ToJsonString()
        except (ValueError, TypeError, OverflowError, json_format.Error):
            raise Unreadable(f"must be {form}") from None

    return read


def _wrapper_reader(descriptor: Descriptor) -> Callable[[object, Any, int], None]:
    read_value = reader_of(descriptor.fields_by_name["value"])

    def read(value: object, message: Any, _: int) -> None:
        message.value = read_value(value)

    return read


def _read_free(value: Any, message: Message, _: int) -> None:
    if not _is_finite(value):
        raise Unreadable("has a number that is too large")
    if message.DESCRIPTOR.name == "Any" and isinstance(value, dict) and "/" not in str(value.get("@type", "/")):
        raise Unreadable("must have a type with a slash before its name, as type.googleapis.com/aura.users.v1.User")
    try:
        json_format.ParseDict(value, message, max_recursion_depth=DEEPEST)
    except (json_format.ParseError, TypeError, ValueError):
        raise Unreadable(f"must be the JSON of a {message.DESCRIPTOR.full_name}") from None
    except RecursionError:
        raise Unreadable("is nested too deeply") from None


def _takes_null(field: FieldDescriptor) -> bool:
    return (field.message_type is not None and field.message_type.full_name == f"{_GOOGLE}Value") or (
        field.enum_type is not None and field.enum_type.full_name == f"{_GOOGLE}NullValue"
    )


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Doubled(shown(name))
            seen.add(name)
    return made


def _number(text: str) -> int | float:
    """Returns a number that is written with a point or an exponent; whole ones exactly, where a float would not be."""
    number = float(text)
    if _EXACT < abs(number) < _LARGER_THAN_ANY:
        exact = Decimal(text)
        if exact == exact.to_integral_value():
            return int(exact)
    return number


def _is_finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def new_message(descriptor: Descriptor) -> Message:
    """Returns a new message of a type."""
    return GetMessageClass(descriptor)()
