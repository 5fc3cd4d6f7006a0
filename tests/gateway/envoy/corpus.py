"""The requests that both sides get: some for every route, some for every sentence of http.proto and of the JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from aura.kernel.gateway.bindings import ANY_VERB, WHOLE, Binding, bindings_of
from tests.gateway.envoy.samples import sample_of
from tests.support.http_exchange import HttpRequest

EVERYTHING = "/v1/everything"
STRANGE_SEGMENT = "%C3%A4%20b%3Ac%25"
LONG_NUMBERS = ("int64_value", "uint64_value", "sint64_value", "fixed64_value", "sfixed64_value")
NUMBERS = ("int32_value", "uint32_value", "sint32_value", "fixed32_value", "sfixed32_value", *LONG_NUMBERS)

SPECIAL_SEGMENTS = (
    "plain", "-_.~", "a%20b", "a+b", "%41", "a%2Fb", "a%2fb", "%25", "%252F", "%2B", "%3F", "%23", "%26%3D", "%C3%A9",
    "%E2%82%AC", "%F0%9F%98%80", "a:b", "a%3Ab", "a@b", "a,b;c=d", "!$&'()*", "%7B%7D", "%22", "%5C", "*", "**",
    "%2A", "%00", "%FF", "%C3", "%ED%A0%80", "%", "%4", "%ZZ", "a%", "...", "a..b", "~", "%7E", "%2E", "%2e%2e", "0",
)  # fmt: skip

TEXTS: dict[str, tuple[str, ...]] = {
    "bool_value": ("true", "false", "True", "FALSE", "1", "0", "t", "yes", "", "null", "%74rue"),
    "bytes_value": (
        "", "YQ==", "YQ", "YQ=", "YWI=", "YWJj", "%2B%2F8=", "-_8=", "-_8", "-%2F8", "A", "!!", "YQ==YQ==", "Y Q",
    ),
    "double_value": (
        "0", "1.5", "-1.5", "1e3", "1E-3", "1e400", "NaN", "Infinity", "-Infinity", "nan", "inf", "-0", ".5", "5.", "+1",
        "0x10", "1_0", " 1", "", "abc",
    ),
    "float_value": ("0.1", "3.4028235e38", "3.5e38", "1e-46", "NaN", "Infinity", "-Infinity", ""),
    "int32_value": (
        "0", "-1", "2147483647", "-2147483648", "2147483648", "-2147483649", "1.0", "1.5", "1e2", "01", "+1", " 1", "",
        "0x1", "abc", "-0", "--1", "null",
    ),
    "int64_value": ("9223372036854775807", "-9223372036854775808", "9223372036854775808", "1.0", "1e2", "9007199254740993"),
    "uint32_value": ("4294967295", "4294967296", "-1", "-0"),
    "uint64_value": ("18446744073709551615", "18446744073709551616", "-1"),
    "sint32_value": ("-5", "5"),
    "sint64_value": ("-5", "9223372036854775807"),
    "fixed32_value": ("7", "4294967295"),
    "fixed64_value": ("7", "18446744073709551615"),
    "sfixed32_value": ("-7", "2147483647"),
    "sfixed64_value": ("-7", "9223372036854775807"),
    "string_value": ("x", "", "a%20b", "a+b", "a%2Bb", "%C3%A9", "%00", "%FF", "%", "null", "%22", "a=b", "%26", "a;b"),
    "genre": (
        "GENRE_POETRY", "2", "1", "0", "-1", "99", "2147483648", "genre_poetry", "Genre_Poetry", "NOPE", "", "1.0",
        "GENRE_LOSS",
    ),
    "optional_string": ("x", ""),
    "optional_number": ("0", "5"),
    "optional_bool": ("false", "true"),
    "optional_genre": ("GENRE_UNSPECIFIED", "0"),
    "strings": ("a", "", "a,b", "[]"),
    "numbers": ("1", "1,2", "", "x"),
    "long_numbers": ("1", "9223372036854775807"),
    "bools": ("true", "x"),
    "byte_strings": ("YQ==", "-_8"),
    "doubles": ("1.5", "NaN"),
    "genres": ("GENRE_NOVEL", "2", "NOPE"),
    "books": ("x", ""),
    "times": ("2026-01-31T12:00:00Z",),
    "chosen_string": ("x", ""),
    "chosen_number": ("5", "x"),
    "chosen_genre": ("GENRE_NOVEL",),
    "chosen_book.title": ("x",),
    "time": (
        "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456789Z", "2026-01-31T12:00:00%2B01:00",
        "2026-01-31T12:00:00-01:00", "2026-01-31t12:00:00z", "2026-01-31T12:00:00", "2026-01-31", "2026-02-30T00:00:00Z",
        "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "10000-01-01T00:00:00Z", "", "1760000000",
        "2026-01-31T12:00:00.1234567891Z", "2026-01-31T24:00:00Z", "2026-01-31T12:00:60Z",
    ),
    "time.seconds": ("5",),
    "duration": (
        "1.5s", "3s", "-3s", "-0.5s", "0s", "1.000000001s", "1.0000000001s", "315576000000s", "315576000001s", "3", "s", "",
        "1m", "+3s", ".5s", "5.s",
    ),
    "mask": ("a", "a,b", "fooBar", "foo_bar", "a.b", "", "a,,b", "FooBar", "a%2Cb", "a, b"),
    "mask.paths": ("a",),
    "wrapped_double": ("1.5", "NaN", "0", ""),
    "wrapped_float": ("1.5", "0"),
    "wrapped_int64": ("9223372036854775807", "0", "x"),
    "wrapped_uint64": ("18446744073709551615", "-1"),
    "wrapped_int32": ("5", "0", "2147483648"),
    "wrapped_uint32": ("5", "-1"),
    "wrapped_bool": ("true", "false", "x"),
    "wrapped_string": ("x", "", "null"),
    "wrapped_bytes": ("YQ==", ""),
    "wrapped_string.value": ("x",),
    "wrapped_int32.value": ("5",),
    "book": ("x", ""),
    "book.title": ("x", ""),
    "book.author.family_name": ("x",),
    "book.author.genres": ("GENRE_NOVEL", "1"),
    "book.tags": ("a",),
    "book.copies": ("5",),
    "book.publish_time": ("2026-01-31T12:00:00Z",),
    "book.edition": ("0",),
    "book.nope": ("x",),
    "book.title.more": ("x",),
    "books.title": ("x",),
    "notes": ("x",),
    "notes.key": ("x",),
    "notes[key]": ("x",),
    "books_by_number.1.title": ("x",),
    "struct": ("x",),
    "struct.fields": ("x",),
    "value": ("x", "1", "true", "null"),
    "list": ("x",),
    "any": ("x",),
    "empty": ("", "x"),
    "null_value": ("null", "NULL_VALUE", "0", ""),
    "renamed": ("x",),
    "otherName": ("x",),
    "nope": ("x", ""),
    "": ("x",),
    "string_value.": ("x",),
    ".string_value": ("x",),
    "STRING_VALUE": ("x",),
    "string%5Fvalue": ("x",),
}  # fmt: skip
"""Values of query parameters, percent-encoded."""

QUERIES = (
    "string_value=a&string_value=b", "stringValue=a&string_value=b", "int32_value=1&int32_value=1", "strings=a&strings=b",
    "strings=a&strings=", "numbers=1&numbers=2&numbers=3", "chosen_string=a&chosen_number=1",
    "chosen_book.title=a&chosen_book.name=b", "chosen_book.title=a&chosen_string=b", "book.title=a&book.author.family_name=b",
    "book.title=a&book.title=b", "book.tags=a&book.tags=b", "string_value", "string_value&int32_value=1", "&", "&&",
    "string_value=a&", "&string_value=a", "string_value=a&&int32_value=1", "string_value==", "=", "%73tring_value=a",
    "string_value=a%26int32_value=1", "string_value=a;int32_value=1", "string_value=a#b", "string_value=?", "?string_value=a",
    "mask=a&mask=b", "time=2026-01-31T12:00:00Z&time=2026-01-31T12:00:00Z", "wrapped_int32=1&wrapped_int32=2",
    "genres=GENRE_NOVEL&genres=2&genres=GENRE_NOVEL", "string_value=%E2%82%AC+%2B", "string+value=a", "string_value=a%",
    "int32_value=%31", "bool_value", "optional_string", "optional_string=", "book=", "empty=&string_value=a", "",
)  # fmt: skip

VALUES: dict[str, tuple[str, ...]] = {
    "boolValue": ("true", "false", '"true"', '"false"', "1", "0", "null", "[]", "{}", '""', '"TRUE"'),
    "bytesValue": (
        '"YQ=="', '"YQ"', '"YQ="', '"-_8="', '"-_8"', '"+/8="', '"+_8="', '""', '"A"', '"!"', '"Y\\nQ=="', "1", "null", "[]",
        '"YR=="',
    ),
    "doubleValue": (
        "1.5", "1", '"1.5"', '"NaN"', '"Infinity"', '"-Infinity"', "NaN", "Infinity", "-Infinity", "1e308", "1e309", "-1e309",
        '"1e309"', '""', '"abc"', "true", "null", "-0", "-0.0", '"-0"', "1E+2", '" 1"', '"1 "', "5e-324", "[1]", '"0x1"',
        "0.1", "123456789012345678",
    ),
    "floatValue": (
        "0.1", "3.4028235e38", "3.4028236e38", "3.5e38", '"NaN"', '"1.5"', "1e-46", "-3.5e38", "16777217", "null", '""',
    ),
    "int32Value": (
        "1", "-1", '"1"', '"-1"', "2147483647", "-2147483648", "2147483648", "-2147483649", "1.0", "1.5", "1e2", '"1.0"',
        '"1e2"', '"1.5"', '""', '" 1"', '"1 "', '"01"', "01", "+1", '"+1"', "true", "null", "[]", "{}", '"abc"', "-0", '"-0"',
        "1e10", "2147483647.0", "1E0", "100000e-5", "0.0", '"0x1"', '"NaN"',
    ),
    "int64Value": (
        "1", '"1"', "9223372036854775807", '"9223372036854775807"', "-9223372036854775808", '"-9223372036854775808"',
        "9223372036854775808", '"9223372036854775808"', "9007199254740993", '"9007199254740993"', "1.0", "1e3", '"1e3"',
        "1.5", "9007199254740993.0", '"9223372036854775807.0"', "true", "null", '""', "9.2e18",
    ),
    "uint32Value": ("0", "4294967295", "4294967296", "-1", '"-1"', "-0", '"4294967295"', "1.0", "1.5", "null"),
    "uint64Value": (
        "18446744073709551615", '"18446744073709551615"', "18446744073709551616", '"18446744073709551616"', "-1", '"-1"',
        "1e19", "1.0",
    ),
    "sint32Value": ("-7", '"-7"'),
    "sint64Value": ("-7", '"-7"'),
    "fixed32Value": ("7", "-7"),
    "fixed64Value": ("7", '"7"'),
    "sfixed32Value": ("-7",),
    "sfixed64Value": ('"-7"', "-7"),
    "stringValue": (
        '"x"', '""', "null", "1", "1.5", "true", "[]", "{}", '"\\u00e9"', '"é"', '"\\ud83d\\ude00"', '"😀"', '"\\ud800"',
        '"\\udc00"', '"\\u0000"', '"a\\u0000b"', '"\\n\\t\\b\\f\\r\\"\\\\\\/"', '"\\x"', '"\n"', '"\\u12"', '"</script>"',
        '"\\u2028"', "'x'", "x", '"x', '"%2F"', '"\x7f"',
    ),
    "genre": (
        '"GENRE_POETRY"', "2", '"2"', "99", "-1", '"GENRE_LOSS"', '"genre_poetry"', '"NOPE"', '""', "2.0", "2.5", "null",
        "true", "[]", "2147483648", "1e0", '"99"',
    ),
    "optionalString": ('""', "null", '"x"'),
    "optionalNumber": ("0", "null"),
    "optionalBool": ("false",),
    "optionalGenre": ('"GENRE_UNSPECIFIED"', "0"),
    "strings": ('["a","b"]', "[]", "null", '"a"', "[null]", "[1]", '["a",null]', '[["a"]]', "{}", '["a",]', "[,]"),
    "numbers": ("[1,2]", '[1,"2"]', "[1.0]", "[null]", '["x"]', "1"),
    "longNumbers": ('[1,"9223372036854775807"]',),
    "bools": ("[true,false]", "[1]"),
    "byteStrings": ('["YQ==","-_8"]',),
    "doubles": ('[1,"NaN",1.5]',),
    "genres": ('["GENRE_NOVEL",2]', '["NOPE"]', "[null]"),
    "books": ('[{"title":"a"},{}]', "[null]", "[1]", '{"title":"a"}', '[{"nope":1}]'),
    "times": ('["2026-01-31T12:00:00Z"]', "[null]"),
    "chosenString": ('"x"', '""', "null"),
    "chosenNumber": ("5", '"5"', "null"),
    "chosenGenre": ('"GENRE_NOVEL"',),
    "chosenBook": ("{}", '{"title":"a"}', "null"),
    "time": (
        '"2026-01-31T12:00:00Z"', '"2026-01-31T12:00:00.123456789Z"', '"2026-01-31T12:00:00.1Z"', '"2026-01-31T12:00:00+01:00"',
        '"2026-01-31T12:00:00-00:00"', '"2026-01-31T12:00:00"', '"2026-01-31 12:00:00Z"', '"2026-01-31t12:00:00z"',
        '"2026-02-30T00:00:00Z"', '"0001-01-01T00:00:00Z"', '"0000-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999999999Z"',
        '"2026-01-31T12:00:00.1234567891Z"', '"2026-01-31T12:00:60Z"', '"2026-01-31T25:00:00Z"', '""', "null", "1760000000",
        '{"seconds":5}', '"9999-12-31T23:59:59-01:00"',
    ),
    "duration": (
        '"1.5s"', '"-1.5s"', '"0s"', '"3s"', '"3"', '"1.000000001s"', '"1.0000000001s"', '"315576000000s"', '"315576000001s"',
        '""', "null", "3", '{"seconds":3}', '"-0.5s"', '"+1s"', '"1e2s"', '"s"', '".5s"', '"1.s"', '" 1s"',
    ),
    "mask": (
        '"a,b"', '"fooBar,bazQux.quux"', '""', "null", '"foo_bar"', '"FooBar"', '{"paths":["a"]}', '["a"]', '"a,,b"', '" a"',
        '"a."',
    ),
    "wrappedDouble": ("1.5", '"NaN"', "null", "0", '{"value":1}'),
    "wrappedFloat": ("1.5", "0"),
    "wrappedInt64": ('"5"', "5", "null", "0"),
    "wrappedUint64": ('"18446744073709551615"', "-1"),
    "wrappedInt32": ("5", '"5"', "0", "null", "1.5"),
    "wrappedUint32": ("5", "-1"),
    "wrappedBool": ("true", "false", "null", '"true"'),
    "wrappedString": ('"x"', '""', "null", "5"),
    "wrappedBytes": ('"YQ=="', '""'),
    "book": (
        '{"title":"a","author":{"givenName":"b","family_name":"c"}}', "{}", "null", "[]", '"x"', '{"nope":1}',
        '{"publishTime":"2026-01-31T12:00:00Z","copies":"7","edition":0}', '{"title":"a","title":"b"}', '{"author":null}',
    ),
    "notes": (
        '{"a":"b","c":""}', "{}", "null", '{"a":null}', '{"a":1}', "[]", '{"a":"1","a":"2"}', '{"":"x"}', '{"é":"x"}',
    ),
    "booksByNumber": (
        '{"1":{"title":"a"},"-2":{}}', '{"x":{}}', '{"1":null}', '{"1.0":{}}', '{"2147483648":{}}', '{"01":{}}',
        '{"1":{},"1":{}}',
    ),
    "genresByBool": ('{"true":"GENRE_NOVEL","false":2}', '{"1":1}', '{"TRUE":1}', '{"true":"NOPE"}'),
    "struct": ('{"a":1,"b":[true,null,"x",{"c":1.5}]}', "{}", "null", "[]", "1", '{"a":{"b":{}}}', '{"a":1,"a":2}'),
    "value": ("null", "1", '"x"', "true", "[1,null]", '{"a":null}', "1e400", '"NaN"', "123456789012345678"),
    "list": ('[1,"x",null,[],{}]', "[]", "null", "{}"),
    "any": (
        '{"@type":"type.googleapis.com/aura.test.library.v1.Book","title":"a"}', "{}", "null",
        '{"@type":"type.googleapis.com/google.protobuf.Duration","value":"3s"}', '{"@type":"type.googleapis.com/no.Such"}',
        '{"title":"a"}', '{"title":"a","@type":"type.googleapis.com/aura.test.library.v1.Book"}',
        '{"@type":"type.googleapis.com/aura.test.library.v1.Book","nope":1}', '{"@type":"aura.test.library.v1.Book"}',
        '{"@type":""}', "1",
    ),
    "empty": ("{}", "null", '{"a":1}', "[]"),
    "nullValue": ("null", '"NULL_VALUE"', "0", '"x"', "1"),
    "otherName": ('"x"',),
    "renamed": ('"x"',),
    "string_value": ('"x"',),
    "int32_value": ('"5"',),
    "StringValue": ('"x"',),
    "nope": ("1", "null", "{}", "[]"),
    "": ("1",),
}  # fmt: skip
"""JSON texts of fields."""

BODIES: tuple[str | bytes, ...] = (
    "{}", "", " ", "null", "[]", "1", '"x"', "true", "{", "}", "{}}", "{} {}", "{},", "[{}]", '{"stringValue":"a",}', "{,}",
    '{"stringValue":"a" "int32Value":1}', '{"stringValue" "a"}', "{stringValue:\"a\"}", "{'stringValue':'a'}",
    '{"stringValue":"a"} x', ' {"stringValue":"a"} ', '\ufeff{"stringValue":"a"}', '{"stringValue":"a","stringValue":"b"}',
    '{"stringValue":"a","string_value":"b"}', '{"stringValue":"a","string_value":"a"}', '{"int32Value":1,"int32Value":1}',
    '{"book":{"title":"a"},"book":{"name":"b"}}', '{"strings":["a"],"strings":["b"]}', '{"notes":{"a":"1"},"notes":{"b":"2"}}',
    '{"chosenString":"a","chosenNumber":1}', '{"chosenString":null,"chosenNumber":1}', '{"chosenBook":{},"chosenString":"a"}',
    '// comment\n{"stringValue":"a"}', '/* comment */{"stringValue":"a"}', '{"stringValue":"a"/**/}',
    '{"stringValue":undefined}', '{"\\u0073tringValue":"a"}', '{"string\\u0056alue":"a"}', b'{"stringValue":"\xff"}',
    b'{"stringValue":"\xc3"}', b'{"stringValue":"\xed\xa0\x80"}', b"\xff\xfe{\x00}\x00", b"\x00", b'{"stringValue":"a\x00b"}',
    '{"int32Value":' + "1" * 400 + "}", '{"doubleValue":' + "1" * 400 + "}", '{"doubleValue":0.' + "1" * 400 + "}",
    '{"book":' * 5 + "{}" + "}" * 5, '{"struct":' + '{"a":' * 40 + "1" + "}" * 41, '{"list":' + "[" * 40 + "]" * 40 + "}",
    "{\"stringValue\":\"" + "x" * 5000 + "\"}", '\n\t\r {\n"stringValue"\t:\r"a"}\n', '{"stringValue":"a"}\x0c',
)  # fmt: skip


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
    for segment in SPECIAL_SEGMENTS:
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
    for name, texts in TEXTS.items():
        if name in {
            "bool_value",
            "bytes_value",
            "double_value",
            "float_value",
            "genre",
            *NUMBERS[:2],
            *LONG_NUMBERS[:2],
        }:
            kind = "genre" if name == "genre" else name.removesuffix("_value")
            yield from (_get(f"/v1/typed/{kind}/{quote(text, safe='%')}") for text in texts)
    yield from map(_get, (
        "/v1/files", "/v1/files/", "/v1/files//", "/v1/files/a//b", "/v1/files/a/", "/v1/files/:raw", "/v1/files:raw",
        "/v1/files/a:raw", "/v1/files/a:b", "/v1/files/a:raw/b", "/v1/files/a:raw:raw", "/v1/files/a%3Araw", "/v1/files/a:",
        "/v1/files/a/b/c/d/e/f", "/v1/docs", "/v1/docs/", "/v1/docs/a", "/v1/rest", "/v1/rest/", "/v1/rest/a/b?path=x",
        "/v1/shelves", "/v1/shelves/", "/v1/shelves//", "/v1/shelves/a/", "/v1/shelves//books/b", "/v1/shelves/a//books",
        "/v1/shelves/a/books/", "/v1/shelves/a/books//", "/v1/shelves/a/books/b/", "/v1/shelves/a/books/b/c",
        "/v1/shelves/a/books:search", "/v1/shelves/a:archive", "/v1/shelves/a/books/b:archive", "/v1/shelves/a/books/b:search",
        "/v1/shelves/a/books/b:nope", "/v1/shelves/a%2Fbooks%2Fb", "/v1/books:search", "/v1/books:search/", "/v1/books%3Asearch",
        "/v1/books:Search", "/v1/books:searc%68", "/v1/books:", "/v1/books/a:search", "/v1/books", "/v1/books/",
        "/v1/editions/latest", "/v1/editions/latest/", "/v1/editions/Latest", "/v1/editions/lates%74", "/v1/editions/latest:a",
        "/v1/any/a/of/b", "/v1/any//of/b", "/v1/any/a/b/of/c", "/v1/any/*/of/b", "/v1/*", "/v1/**", "/v1/caf%c3%a9/a",
        "/v1/cafe/a", "/v1/users/u/messages/m", "/v1/users/u/messages/", "/v1/users//messages/m", "/v1/messages/a/b",
        "//v1/messages/a", "/V1/messages/a", "/v1/Messages/a", "/v1/messages/a?message_id=b", "/v1/messages/a?messageId=a",
        "/v1/messages/a?sub=x", "/v1/messages/a?sub.numbers=1&sub.numbers=2", "/v1/deep/a/1?first.second.other=b&top=c",
        "/v1/deep/a/1?first.second.leaf=b", "/v1/deep/a/x", "/v1/deep/a/2147483648", "/v1/messages/a#b", "/v1/messages/a?",
        "/v1/messages/a??", "/v1/messages/a?&", "/v1/messages/./a", "/v1/x/../messages/a", "/v1/messages/%2e", "/v1/messages/..",
    ))  # fmt: skip
    for verb in ("POST", "PUT", "PATCH", "REPORT", "DELETE"):
        yield HttpRequest(verb=verb, target="/v1/whatever/a?revision=5")


def _queries() -> Iterator[HttpRequest]:
    for name, texts in TEXTS.items():
        spellings = dict.fromkeys((name, _camel(name)))
        yield from (_get(f"{EVERYTHING}?{each}={quote(text, safe='%+=&;,:')}") for each in spellings for text in texts)
    yield from (_get(f"{EVERYTHING}?{query.partition('#')[0]}") for query in QUERIES)


def _bodies() -> Iterator[HttpRequest]:
    for name, values in VALUES.items():
        for value in values:
            yield _post(f'{{"{name}":{value}}}')
    for body in BODIES:
        yield _post(body)
    yield HttpRequest(verb="POST", target=EVERYTHING)
    for body in (
        '{"intValue":1}',
        '{"stringValue":"other"}',
        '{"string_value":"a"}',
        '{"stringValue":"a"}',
        "{}",
        "",
        "null",
    ):
        yield HttpRequest(verb="PUT", target=f"{EVERYTHING}/a", body=body.encode())
    for body in ('{"name":"b"}', '{"name":"shelves/s/books/b"}', '{"title":"t"}', "null"):
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
