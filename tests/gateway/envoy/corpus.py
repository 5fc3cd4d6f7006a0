"""The requests that both sides get: some for every route, some for every sentence of http.proto and of ProtoJSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from aura.kernel.gateway.bindings import ANY_VERB, WHOLE, Binding, bindings_of
from tests.gateway.envoy.samples import sample_of
from tests.support.http_exchange import HttpRequest

EVERYTHING = "/v1/everything"
STRANGE_SEGMENT = "%C3%A4%20b%3Ac%25"
IN_PATHS = ("bool", "bytes", "double", "float", "int32", "int64", "uint32", "uint64", "genre")
"""What the library takes as variables of its paths, by the ends of them."""

LONG = 400
RAW_BODIES: tuple[str | bytes, ...] = (
    "",
    " ",
    ' {"stringValue":"a"} ',
    '\n\t\r {\n"stringValue"\t:\r"a"}\n',
    '\ufeff{"stringValue":"a"}',
    '// comment\n{"stringValue":"a"}',
    '{"stringValue":"a"}\x0c',
    '{"stringValue":"\n"}',
    b'{"stringValue":"a\x00b"}',
    b'{"stringValue":"\xff"}',
    b'{"stringValue":"\xc3"}',
    b'{"stringValue":"\xed\xa0\x80"}',
    b"\xff\xfe{\x00}\x00",
    b"\x00",
    f'{{"int32Value":{"1" * LONG}}}',
    f'{{"doubleValue":{"1" * LONG}}}',
    f'{{"doubleValue":0.{"1" * LONG}}}',
    f'{{"stringValue":"{"x" * 10 * LONG}"}}',
)
"""Bodies that are no lines of text."""


def lines_of(name: str) -> list[str]:
    """The lines of a file of requests, without those that explain it."""
    text = (Path(__file__).with_name("requests") / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("# ")]


def corpus(services: Sequence[ServiceDescriptor]) -> list[HttpRequest]:
    """All of them, each once."""
    bindings = [binding for binding in bindings_of(services) if _is_unary(binding)]
    routes = (request for binding in bindings for request in requests_of(binding))
    return list(dict.fromkeys([*routes, *_paths(), *_queries(), *_bodies(), *_fields_as_bodies(), *_failures()]))


def requests_of(binding: Binding) -> Iterator[HttpRequest]:
    """Requests that a binding is for, and some that are nearly so."""
    verb = "REPORT" if binding.verb == ANY_VERB else binding.verb
    path, body = path_of(binding), body_of(binding)
    sample = sample_of(binding.method.input_type)
    yield _request(verb, path, body)
    yield _request(verb, path, body_of(binding, keep_names=True))
    yield _request(verb, path_of(binding, STRANGE_SEGMENT), body)
    yield _request(verb, f"{path}/", body)
    yield _request(verb, f"{path}?nope=1", body)
    yield _request(verb, f"{path}?", body)
    if binding.body != WHOLE:
        pairs = list(_parameters(sample, binding))
        yield _request(verb, f"{path}?{urlencode(pairs)}", body)
        yield _request(verb, f"{path}?{urlencode([(_camel(name), text) for name, text in pairs])}", body)
        for pair in pairs:
            yield _request(verb, f"{path}?{urlencode([pair])}", body)
    if binding.body:
        yield _request(verb, path, b"{}")
        yield _request(verb, path, b"")
        yield _request(verb, path, b'{"nope":1}')
        yield _request(verb, path, b"{")
        yield _request(verb, path, b"[]")
    elif verb in {"POST", "PUT", "PATCH", "DELETE"}:
        yield HttpRequest(verb=verb, target=path, body=b"")


def path_of(binding: Binding, segment: str = "s1") -> str:
    """A path that a binding has, with a text for each wildcard that is no number."""
    segments = [text if text not in {"*", "**"} else segment for text in binding.template.segments]
    for variable in binding.template.variables:
        field = _field_at(binding, variable.field_path)
        if field.cpp_type != FieldDescriptor.CPPTYPE_STRING or field.type == FieldDescriptor.TYPE_BYTES:
            segments[variable.start] = "true" if field.type == FieldDescriptor.TYPE_BOOL else "1"
            if field.type == FieldDescriptor.TYPE_BYTES:
                segments[variable.start] = "YQ=="
    return "/" + "/".join(segments) + (f":{binding.template.verb}" if binding.template.verb else "")


def body_of(binding: Binding, *, keep_names: bool = False) -> bytes | None:
    """A body for a binding, with a value in each field that has no place in the path."""
    if not binding.body:
        return None
    sample: Any = sample_of(binding.method.input_type)
    for variable in binding.template.variables:
        _clear(sample, variable.field_path)
    value = json_format.MessageToDict(sample, preserving_proto_field_name=keep_names)
    if binding.body != WHOLE:
        field = binding.method.input_type.fields_by_name[binding.body]
        value = value.get(field.name if keep_names else field.json_name, {})
    return json.dumps(value).encode()


def _paths() -> Iterator[HttpRequest]:
    for segment in lines_of("segments"):
        for path in (
            f"/v1/messages/{segment}",
            f"/v1/shelves/{segment}",
            f"/v1/shelves/{segment}/books/b",
            f"/v1/shelves/{segment}/books/{segment}/pages/1",
            f"/v1/files/{segment}",
            f"/v1/files/{segment}/{segment}:raw",
            f"/v1/docs/a/{segment}/b",
            f"/v1/any/{segment}/of/{segment}",
            f"/v1/deep/{segment}/1",
            f"/v1/editions/{segment}",
            f"/v1/caf%C3%A9/{segment}",
            f"/v1/typed/optional/{segment}",
        ):
            yield _get(path)
    yield from map(_get, lines_of("paths"))
    for query in lines_of("queries"):
        name, _, text = query.partition("=")
        kind = name.removesuffix("_value")
        if kind in IN_PATHS and "&" not in text:
            yield _get(f"/v1/typed/{kind}/{text.replace('+', '%2B')}")
    for verb in ("POST", "PUT", "PATCH", "REPORT", "DELETE"):
        yield HttpRequest(verb=verb, target="/v1/whatever/a?revision=5")


def _queries() -> Iterator[HttpRequest]:
    for query in lines_of("queries"):
        name, sign, text = query.partition("=")
        yield _get(f"{EVERYTHING}?{query}")
        yield _get(f"{EVERYTHING}?{_camel(name)}{sign}{text}")


def _bodies() -> Iterator[HttpRequest]:
    for body in (*lines_of("bodies"), *RAW_BODIES):
        yield _post(body)
    yield HttpRequest(verb="POST", target=EVERYTHING)
    for body in (
        "{}",
        '{"intValue":1}',
        '{"stringValue":"other"}',
        '{"string_value":"a"}',
        '{"stringValue":"a"}',
        "null",
        "",
    ):
        yield HttpRequest(verb="PUT", target=f"{EVERYTHING}/a", body=body.encode())
    for body in ("{}", '{"name":"b"}', '{"name":"shelves/s/books/b"}', '{"title":"t"}', "null"):
        yield HttpRequest(verb="PATCH", target="/v1/shelves/s/books/b?update_mask=title", body=body.encode())
    yield HttpRequest(verb="PATCH", target="/v1/shelves/s/books/b?book.title=x", body=b"{}")
    yield HttpRequest(verb="PATCH", target="/v1/shelves/s/books/b?updateMask=a,b&allowMissing=true", body=b"{}")
    yield HttpRequest(verb="POST", target=f"{EVERYTHING}?int32_value=1", body=b"{}")
    yield HttpRequest(verb="POST", target="/v1/nothing/a?int32_value=5&strings=a")
    yield HttpRequest(verb="POST", target="/v1/nothing/a", body=b"{}")
    yield HttpRequest(verb="GET", target=EVERYTHING, body=b"{}")


def _fields_as_bodies() -> Iterator[HttpRequest]:
    for path, bodies in {
        "/v1/tags/a": ('["a","b"]', "[]", "null", '"a"', "{}", "[1]", "[null]", "", '["a"'),
        "/v1/books/a": ('[{"title":"a"},{}]', "[]", "null", "{}", "[null]", '[{"nope":1}]', '[{"given_name":1}]'),
        "/v1/titles/1": ('"a"', '""', "null", "1", "{}", '"\\u00e9"', "a", ""),
        "/v1/notes/a": ('{"a":"b"}', "{}", "null", "[]", '{"a":1}', '{"a":null}'),
    }.items():
        yield from (HttpRequest(verb="PUT", target=path, body=body.encode()) for body in bodies)
    for name in ("book", "books", "tags", "title"):
        for body in ("{}", '{"book":{"title":"a"},"books":[{"title":"b"}],"strings":["c"],"stringValue":"d"}'):
            yield HttpRequest(verb="POST", target=f"/v1/answers/{name}", body=body.encode())


def _failures() -> Iterator[HttpRequest]:
    for code in range(18):
        yield _get(f"/v1/failures/{code}")
        yield _get(f"/v1/failures/{code}?message=m%C3%A9%25%0A&reason=R&field=f&retry_delay=1.5s")
    full = {"code": 3, "message": "wrong: é", "reason": "R", "metadata": {"a": "b"}, "field": "x.y", "retryDelay": "2s"}
    yield HttpRequest(verb="POST", target="/v1/failures", body=json.dumps(full).encode())


def _parameters(sample: Message, binding: Binding, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yields the fields that a binding has in its query, as text."""
    in_path = {variable.field_path for variable in binding.template.variables}
    message: Any = sample
    for field in sample.DESCRIPTOR.fields:
        path = (*prefix, field.name)
        if path in in_path or (not prefix and field.name == binding.body):
            continue
        values = list(getattr(message, field.name)) if field.is_repeated else [getattr(message, field.name)]
        if field.message_type is None:
            yield from ((".".join(path), _written(field, value)) for value in values)
        elif not field.is_repeated and message.HasField(field.name):
            form = json_format.MessageToDict(values[0])
            if isinstance(form, dict):
                yield from _parameters(values[0], binding, path)
            else:
                yield ".".join(path), str(form).lower() if isinstance(form, bool) else str(form)


def _written(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "+/8A"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each[:1].upper() + each[1:] for each in others) if first else name


def _field_at(binding: Binding, path: Iterable[str]) -> FieldDescriptor:
    inside: Any = binding.method.input_type
    for name in path:
        field = inside.fields_by_name[name]
        inside = field.message_type
    return field


def _clear(message: Any, path: Sequence[str]) -> None:
    for name in path[:-1]:
        message = getattr(message, name)
    message.ClearField(path[-1])


def _is_unary(binding: Binding) -> bool:
    return not (binding.method.client_streaming or binding.method.server_streaming)


def _request(verb: str, target: str, body: bytes | None) -> HttpRequest:
    return HttpRequest(verb=verb, target=target, body=body)


def _get(target: str) -> HttpRequest:
    return HttpRequest(verb="GET", target=target)


def _post(body: str | bytes) -> HttpRequest:
    return HttpRequest(verb="POST", target=EVERYTHING, body=body.encode() if isinstance(body, str) else body)
