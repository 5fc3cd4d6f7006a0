"""Requests that nobody would write: hypothesis makes them, always the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aura.kernel.gateway.bindings import Binding, bindings_of
from tests.gateway import library
from tests.gateway.envoy.corpus import EVERYTHING, lines_of
from tests.support.http_exchange import HttpRequest

PIECES = (
    "a", "b1", "-", "_", ".", "~", "+", ":", "@", "!", "$", "'", "(", ")", "*", ",", ";", "=", "%20", "%2F", "%2f",
    "%25", "%3A", "%41", "%C3%A9", "%E2%82%AC", "%F0%9F%98%80", "%00", "%0A", "%2B", "%26", "%3D", "%3F", "%23", "1",
    "0", "true",
)  # fmt: skip
LETTERS = st.text(st.sampled_from("aZ09 _-+/=.:,\\\"'\t\n\x00é€😀<>&%"), max_size=5)
NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65),
    st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**64 - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.5, 1.0, 1e3, -0.0, 1e19, 3.4e38]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, NUMBERS.map(str), LETTERS)
JSON_VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3), max_leaves=5
)
SMALL = st.integers(-3, 100) | st.integers(0, 100).map(str) | st.sampled_from([1.0, 2e1, 2**31 - 1, "2147483647"])
ORDINARY: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: LETTERS,
    FieldDescriptor.TYPE_BYTES: st.sampled_from(["", "YQ==", "YQ", "-_8=", "+/8"]),
    FieldDescriptor.TYPE_ENUM: st.sampled_from(["GENRE_NOVEL", "GENRE_LOSS", 2, 99]),
    FieldDescriptor.TYPE_MESSAGE: st.sampled_from([{}, None, {"title": "x"}, {"a": "b"}, 5, "x", "1.5s", True]),
}


def oddities(count: int) -> list[HttpRequest]:
    """A number of them, but for those that come twice."""
    bindings = [binding for binding in bindings_of([library.service()]) if binding.verb == "GET"]
    unary = [binding for binding in bindings if not binding.method.server_streaming]
    everything = st.one_of(_paths(unary), _queries(), _bodies())
    made: dict[HttpRequest, None] = {}
    _each(everything, count, lambda request: made.setdefault(request, None))
    return list(made)


def _each(strategy: st.SearchStrategy[HttpRequest], count: int, note: Callable[[HttpRequest], object]) -> None:
    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def make(request: HttpRequest) -> None:
        note(request)

    make()


def _odd_text(least: int = 0) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(PIECES), min_size=least, max_size=4).map("".join)


def _paths(bindings: list[Binding]) -> st.SearchStrategy[HttpRequest]:
    @st.composite
    def path(draw: st.DrawFn) -> HttpRequest:
        binding = draw(st.sampled_from(bindings))
        segments = [_segment(draw, text) for text in binding.template.segments]
        verb = f":{binding.template.verb}" if binding.template.verb else ""
        end = draw(st.sampled_from(["", "", "", "/", ":", "?", ":raw", ":archive", "//"]))
        return HttpRequest(verb="GET", target=f"/{'/'.join(segments)}{verb}{end}")

    return path()


def _segment(draw: st.DrawFn, text: str) -> str:
    if text == "*":
        return draw(_odd_text(least=draw(st.sampled_from([1, 1, 1, 0]))))
    return "/".join(draw(st.lists(_odd_text(), max_size=3))) if text == "**" else text


def _queries() -> st.SearchStrategy[HttpRequest]:
    lines = [line for line in lines_of("queries") if "=" in line]
    whole = st.sampled_from(lines)
    names = st.sampled_from(sorted({line.partition("=")[0] for line in lines}))
    made = st.builds(lambda name, value: f"{name}={value}", names, _odd_text())
    parts = st.lists(st.one_of(whole, made), min_size=1, max_size=3)
    return parts.map(lambda each: HttpRequest(verb="GET", target=f"{EVERYTHING}?{'&'.join(each)}"))


def _bodies() -> st.SearchStrategy[HttpRequest]:
    fields = library.message_class("Everything").DESCRIPTOR.fields
    member = st.sampled_from(list(fields)).flatmap(_member)
    members = st.lists(member, min_size=1, max_size=3)
    return members.map(lambda each: HttpRequest(verb="POST", target=EVERYTHING, body=_object(each)))


def _member(field: FieldDescriptor) -> st.SearchStrategy[tuple[str, Any]]:
    ordinary = ORDINARY.get(field.type, SMALL)
    value = st.lists(ordinary, max_size=3) if field.is_repeated else ordinary
    odd = st.one_of(JSON_VALUES, NUMBERS, SCALARS)
    return st.tuples(st.sampled_from([field.name, field.json_name]), st.one_of(*[value] * 5, odd))


def _object(members: list[tuple[str, Any]]) -> bytes:
    return f"{{{','.join(f'{json.dumps(name)}:{json.dumps(value)}' for name, value in members)}}}".encode()
