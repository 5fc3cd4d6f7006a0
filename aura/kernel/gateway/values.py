"""Reads single values as the JSON form of protobuf has them (https://protobuf.dev/programming-guides/json)."""

from __future__ import annotations

import base64
import difflib
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, TypeAlias

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

Reader: TypeAlias = Callable[[object], Any]
"""Makes a field's value of a JSON value."""

_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,399})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]*|[A-Za-z0-9\-_]*)={0,2}")
_SURROGATE = re.compile("[\ud800-\udfff]")
LONGEST_SHOWN = 64
_EXACT = 2**53
_LARGEST_FLOAT = 3.4028235677973366e38  # half a unit above the largest that 32 bits hold, which rounds to it
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Unreadable(Exception):
    """A value that its field cannot have. Its text has no part of the value; its path grows on the way out."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def inside(self, name: str) -> Unreadable:
        """Returns this error, found inside of a field."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{name}{separator}{self.path}"
        return self


def shown(name: str) -> str:
    """Returns a name that a client made up, as far as it may be shown."""
    short = name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…"
    return "".join(letter if letter.isprintable() else "?" for letter in short) or "a name of nothing"


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns what somebody may have meant by a name that is not known, as a part of a sentence; empty if nothing."""
    alike = difflib.get_close_matches(name, known, n=1) if len(name) <= LONGEST_SHOWN else []
    return f"; did you mean {alike[0]}?" if alike else ""


def reader_of(field: FieldDescriptor) -> Reader:
    """Returns what reads a single value of a field that holds no messages."""
    if field.enum_type is not None:
        return _enum_reader(field.enum_type)
    return _READERS[field.type]


def text_reader_of(field: FieldDescriptor) -> Callable[[str], Any]:
    """Returns what reads a value of such a field as it stands in a path or query."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return _bool_of_text
    return reader_of(field)


def whole_number(lowest: int, highest: int) -> Reader:
    """Returns a reader of integers between two bounds."""

    def read(value: object) -> int:
        number = _integer(value)
        if number is None or not lowest <= number <= highest:
            raise Unreadable(f"must be a whole number from {lowest} to {highest}")
        return number

    return read


def read_string(value: object) -> str:
    """Reads text."""
    if not isinstance(value, str):
        raise Unreadable("must be a string")
    if not value.isascii() and _SURROGATE.search(value):
        raise Unreadable("must be Unicode text; it has half of a surrogate pair")
    return value


def read_bytes(value: object) -> bytes:
    """Reads base64, of the ordinary or the URL-safe alphabet, with or without padding."""
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        raise Unreadable("must be base64")
    bare = value.rstrip("=").replace("-", "+").replace("_", "/")
    padding = -len(bare) % 4
    # one letter of four holds less than a byte; "with/without paddings" are accepted, and not with a part of it
    if padding == 3 or len(value) - len(bare) not in {0, padding}:  # noqa: PLR2004 three are missing
        raise Unreadable("must be base64")
    return base64.b64decode(bare + "=" * padding)


def read_bool(value: object) -> bool:
    """Reads true or false."""
    if not isinstance(value, bool):
        raise Unreadable("must be true or false")
    return value


def read_double(value: object) -> float:
    """Reads a floating-point number of 64 bits."""
    if isinstance(value, str):
        if value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if _NUMBER.fullmatch(value):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable("must be a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Unreadable("is too large")
    return number


def read_float(value: object) -> float:
    """Reads a floating-point number of 32 bits."""
    number = read_double(value)
    if math.isfinite(number) and abs(number) >= _LARGEST_FLOAT:
        raise Unreadable("is too large for 32 bits")
    return number


def _bool_of_text(text: str) -> bool:
    if text not in {"true", "false"}:
        raise Unreadable("must be true or false")
    return text == "true"


def _integer(value: object) -> int | None:
    """Returns the integer that a JSON value stands for, also as text or with an exponent; None if for none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else None
    if not isinstance(value, str):
        return None
    if _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if not _NUMBER.fullmatch(value):
        return None
    number = Decimal(value)
    return int(number) if abs(number) < Decimal(10) ** 20 and number == number.to_integral_value() else None


def _enum_reader(enum: EnumDescriptor) -> Reader:
    numbers = {value.name: value.number for value in enum.values}
    number_of = whole_number(-(2**31), 2**31 - 1)
    name = enum.name
    is_null = enum.full_name == "google.protobuf.NullValue"

    def read(value: object) -> int:
        if value is None and is_null:
            return 0
        if isinstance(value, str) and value in numbers:
            return numbers[value]
        try:
            number: int = number_of(value)
        except Unreadable:
            raise Unreadable(f"must be the name or number of a {name}, as {next(reversed(numbers))}") from None
        return number

    return read


_READERS: dict[int, Reader] = {
    FieldDescriptor.TYPE_STRING: read_string,
    FieldDescriptor.TYPE_BYTES: read_bytes,
    FieldDescriptor.TYPE_BOOL: read_bool,
    FieldDescriptor.TYPE_DOUBLE: read_double,
    FieldDescriptor.TYPE_FLOAT: read_float,
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32),
        whole_number(-(2**31), 2**31 - 1),
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), whole_number(0, 2**32 - 1)),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64),
        whole_number(-(2**63), 2**63 - 1),
    ),
    **dict.fromkeys((FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), whole_number(0, 2**64 - 1)),
}
