"""The query and the body: how they become the fields of a request."""

import base64
import json

import pytest

from tests.gateway import library

QUERIES = {
    "boolValue=true": {"boolValue": True},
    "bool_value=true": {"boolValue": True},
    "bytesValue=-_-_": {"bytesValue": "+/+/"},
    "bytesValue=%2B%2F%2B%2F": {"bytesValue": "+/+/"},
    "bytesValue=YQ": {"bytesValue": "YQ=="},
    "doubleValue=1.5e3": {"doubleValue": 1500},
    "doubleValue=NaN": {"doubleValue": "NaN"},
    "doubleValue=-Infinity": {"doubleValue": "-Infinity"},
    "floatValue=0.5": {"floatValue": 0.5},
    "int32Value=-5": {"int32Value": -5},
    "int64Value=-9223372036854775808": {"int64Value": "-9223372036854775808"},
    "uint32Value=4294967295": {"uint32Value": 4294967295},
    "uint64Value=18446744073709551615": {"uint64Value": "18446744073709551615"},
    "sint64Value=1&sfixed32Value=2&fixed64Value=3": {"sint64Value": "1", "sfixed32Value": 2, "fixed64Value": "3"},
    "stringValue=a+b%2Bc%26d%3De%C3%A9": {"stringValue": "a b+c&d=eé"},
    "stringValue=": {"stringValue": ""},
    "genre=GENRE_POETRY": {"genre": "GENRE_POETRY"},
    "genre=2": {"genre": "GENRE_POETRY"},
    "genre=-1": {"genre": "GENRE_LOSS"},
    "genre=77": {"genre": 77},
    "optionalString=": {"optionalString": ""},
    "optionalNumber=0": {"optionalNumber": 0},
    "strings=a&strings=&strings=b": {"strings": ["a", "", "b"]},
    "longNumbers=1&long_numbers=2": {"longNumbers": ["1", "2"]},
    "genres=1&genres=GENRE_POETRY": {"genres": ["GENRE_NOVEL", "GENRE_POETRY"]},
    "chosenNumber=5": {"chosenNumber": "5"},
    "time=2026-01-31T12:00:00.5%2B01:00": {"time": "2026-01-31T11:00:00.500Z"},
    "times=2026-01-31T12:00:00Z&times=1999-01-01T00:00:00Z": {
        "times": ["2026-01-31T12:00:00Z", "1999-01-01T00:00:00Z"],
    },
    "duration=-1.5s": {"duration": "-1.500s"},
    "mask=stringValue,book.title": {"mask": "stringValue,book.title"},
    "wrappedInt64=0": {"wrappedInt64": "0"},
    "wrappedBool=false&wrappedString=&wrappedBytes=YQ": {
        "wrappedBool": False, "wrappedString": "", "wrappedBytes": "YQ==",
    },
    "wrappedDouble=1.5": {"wrappedDouble": 1.5},
    "wrappedInt32.value=5": {"wrappedInt32": 5},
    "book.title=t&book.author.givenName=g&book.author.genres=1&book.copies=3": {
        "book": {"title": "t", "author": {"givenName": "g", "genres": ["GENRE_NOVEL"]}, "copies": "3"},
    },
    "chosenBook.title=a&chosenBook.tags=b&chosenBook.tags=c": {"chosenBook": {"title": "a", "tags": ["b", "c"]}},
    "otherName=x": {"otherName": "x"},
    "renamed=x": {"otherName": "x"},
    "&&stringValue=a&": {"stringValue": "a"},
}  # fmt: skip

BAD_QUERIES = {
    "absent=1": "absent",
    "book.absent=1": "book.absent",
    "stringValue.inner=1": "stringValue.inner",
    "boolValue=yes": "bool_value",
    "boolValue=1": "bool_value",
    "int32Value=2147483648": "int32_value",
    "int32Value=1.5": "int32_value",
    "int32Value=": "int32_value",
    "int32Value=%C2%B2": "int32_value",
    "int32Value=1_0": "int32_value",
    "int64Value=9223372036854775808": "int64_value",
    "uint64Value=-1": "uint64_value",
    "uint32Value=1e999": "uint32_value",
    "doubleValue=1e999": "double_value",
    "doubleValue=x": "double_value",
    "doubleValue=nan": "double_value",
    "floatValue=3.5e38": "float_value",
    "bytesValue=a": "bytes_value",
    "bytesValue=%C3%A9": "bytes_value",
    "genre=GENRE_OTHER": "genre",
    "genre=99999999999": "genre",
    "stringValue=a&stringValue=b": "string_value",
    "stringValue=a&string_value=b": "string_value",
    "chosenNumber=5&chosenString=a": "chosen_string",
    "chosenBook.title=a&chosenString=b": "chosen_string",
    "chosenBook.tags=a&chosenNumber=1": "chosen_number",
    "time=yesterday": "time",
    "time=2026-13-01T00:00:00Z": "time",
    "duration=5": "duration",
    "time.seconds=999999999999999": "time.seconds",
    "duration.nanos=-2000000000": "duration.nanos",
    "mask.paths=/_": "mask.paths",
    "duration=999999999999s": "duration",
    "book=x": "book",
    "books=x": "books",
    "books.title=x": "books.title",
    "notes=x": "notes",
    "struct=x": "struct",
    "stringValue=%FF": None,
    "stringValue=%": None,
    "%=a": None,
}


@pytest.mark.parametrize(("query", "expected"), QUERIES.items(), ids=str)
async def test_a_query_gives_fields_their_values(client, query, expected):
    answer = await client("GET", f"/v1/everything?{query}")

    assert answer.status == 200, answer.body
    for name, value in expected.items():
        assert _part(answer.json[name], value) == value


@pytest.mark.parametrize(("query", "field"), BAD_QUERIES.items(), ids=str)
async def test_a_wrong_query_is_refused_with_the_path_of_its_field(client, servicer, query, field):
    answer = await client("GET", f"/v1/everything?{query}")

    assert (answer.status, answer.json["code"], servicer.seen) == (400, 3, [])
    assert answer.fields == ([field] if field else [])


async def test_too_many_parameters_are_refused(client):
    answer = await client("GET", f"/v1/everything?{'&' * 1001}")

    assert answer.status == 400


VALUES = [
    ("int32Value", [5, "5", 5.0, "5.0", "5e0", 5e0, 0.5e1], 5),
    ("int64Value", [2**63 - 1, str(2**63 - 1)], str(2**63 - 1)),
    ("int64Value", [9.2e18, "9.2e18"], str(92 * 10**17)),
    ("doubleValue", [1, "1", 1.0, "1e0"], 1),
    ("boolValue", [True], True),
    ("bytesValue", ["+/8=", "-_8", "-_8=", "+/8"], "+/8="),
    ("genre", ["GENRE_NOVEL", 1, "1"], "GENRE_NOVEL"),
    ("stringValue", ["\u0000é😀"], "\u0000é😀"),
    ("strings", [["a", ""]], ["a", ""]),
    ("notes", [{"a": "b", "": ""}], {"a": "b", "": ""}),
    ("booksByNumber", [{"-1": {"title": "t"}}], {"-1": {"title": "t"}}),
    ("genresByBool", [{"true": 1, "false": "GENRE_POETRY"}], {"true": "GENRE_NOVEL", "false": "GENRE_POETRY"}),
    ("struct", [{"a": [1, None, {"b": "c"}]}], {"a": [1, None, {"b": "c"}]}),
    ("value", [None], None),
    ("nullValue", [None, "NULL_VALUE", 0], None),
    ("list", [[1, "a", None]], [1, "a", None]),
    (
        "any",
        [{"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}],
        {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"},
    ),
    ("empty", [{}], {}),
    ("wrappedInt64", [0, "0"], "0"),
    ("time", ["2026-01-31T12:00:00Z"], "2026-01-31T12:00:00Z"),
    ("chosenBook", [{"title": "x"}], {"title": "x"}),
]


@pytest.mark.parametrize(("name", "value", "expected"), [(n, v, e) for n, vs, e in VALUES for v in vs], ids=str)
async def test_a_body_gives_fields_their_values(client, name, value, expected):
    answer = await client("POST", "/v1/everything", {name: value})

    assert answer.status == 200, answer.body
    assert _part(answer.json[name], expected) == expected


BAD_BODIES = [
    (b"", 200, None),
    (b"null", 400, ""),
    (b"[]", 400, ""),
    (b'"x"', 400, ""),
    (b"{", 400, None),
    (b"{} {}", 400, None),
    (b"\xff{}", 400, None),
    (b'{"stringValue": "\xff"}', 400, None),
    (b'{"stringValue": "a", "stringValue": "b"}', 400, "stringValue"),
    (b'{"book": {"title": "a", "title": "b"}}', 400, "title"),
    (b'{"doubleValue": NaN}', 400, None),
    (b'{"doubleValue": 1e999}', 400, "double_value"),
    (b'{"value": 1e999}', 400, "value"),
    (b'{"struct": {"a": [-1e999]}}', 400, "struct"),
    (b'{"int64Value": ' + b"9" * 5000 + b"}", 400, None),
    (b'{"struct": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400, None),
    (b'{"list": ' + b"[" * 90_000, 400, None),
]

WRONG_VALUES = [
    ({"absent": 1}, "absent"),
    ({"book": {"absent": 1}}, "book.absent"),
    ({"book": {"author": {"genres": [1, "x"]}}}, "book.author.genres[1]"),
    ({"books": [{}, {"copies": "many"}]}, "books[1].copies"),
    ({"books": [None]}, "books[0]"),
    ({"books": {}}, "books"),
    ({"strings": ["a", 5]}, "strings[1]"),
    ({"strings": "a"}, "strings"),
    ({"strings": [None]}, "strings[0]"),
    ({"stringValue": 5}, "string_value"),
    ({"stringValue": "\ud800"}, "string_value"),
    ({"int32Value": True}, "int32_value"),
    ({"int32Value": 2**31}, "int32_value"),
    ({"int32Value": 1.5}, "int32_value"),
    ({"int64Value": 2**63}, "int64_value"),
    ({"int64Value": 1e19}, "int64_value"),
    ({"uint64Value": -1}, "uint64_value"),
    ({"boolValue": "true"}, "bool_value"),
    ({"boolValue": 1}, "bool_value"),
    ({"doubleValue": "x"}, "double_value"),
    ({"floatValue": 1e39}, "float_value"),
    ({"bytesValue": "é"}, "bytes_value"),
    ({"bytesValue": "YQ="}, "bytes_value"),
    ({"duration": "1.0000000001s"}, "duration"),
    ({"any": {"@type": "aura.test.library.v1.Book"}}, "any"),
    ({"genre": "GENRE_OTHER"}, "genre"),
    ({"genre": None, "genres": ["x"]}, "genres[0]"),
    ({"notes": {"a": 5}}, "notes[a]"),
    ({"booksByNumber": {"x": {}}}, "books_by_number[x]"),
    ({"booksByNumber": {"1": {}, "1.0": {}}}, "books_by_number[1.0]"),
    ({"genresByBool": {"yes": 1}}, "genres_by_bool[yes]"),
    ({"chosenString": "a", "chosenNumber": 1}, "chosen_number"),
    ({"optionalString": "a", "optional_string": "a"}, "optional_string"),
    ({"time": 5}, "time"),
    ({"time": "2026-01-31"}, "time"),
    ({"any": {"@type": "type.googleapis.com/no.such.Type"}}, "any"),
    ({"wrappedInt32": "x"}, "wrapped_int32"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD_BODIES, ids=lambda value: str(value)[:40])
async def test_a_body_that_is_not_json_is_refused(client, servicer, body, status, field):
    answer = await client("POST", "/v1/everything", body)

    assert answer.status == status, answer.body
    if status == 400:
        assert (answer.json["code"], servicer.seen) == (3, [])
        assert answer.fields == ([field] if field else [])


@pytest.mark.parametrize(("body", "field"), WRONG_VALUES, ids=str)
async def test_a_wrong_value_is_refused_with_the_path_of_its_field(client, servicer, body, field):
    answer = await client("POST", "/v1/everything", json.dumps(body).encode())

    assert (answer.status, answer.json["code"], answer.fields, servicer.seen) == (400, 3, [field], [])
    assert answer.json["message"].startswith(field)


@pytest.mark.parametrize(
    ("query", "body", "fix"),
    [
        ("?stringValu=x", None, "did you mean stringValue?"),
        ("?book.titel=x", None, "did you mean title?"),
        ("?unlike=x", None, "is no field of Everything"),
        ("", {"book": {"author": {"givenNam": "x"}}}, "did you mean givenName?"),
        ("", {"string_valu": "x"}, "did you mean string_value?"),
    ],
)
async def test_a_name_that_is_nearly_right_is_told_the_right_one(client, query, body, fix):
    answer = await client("GET" if body is None else "POST", f"/v1/everything{query}", body)

    assert answer.status == 400
    assert answer.json["message"].endswith(fix)


async def test_an_error_does_not_repeat_what_was_sent(client):
    answer = await client("POST", "/v1/everything", {"time": "SECRET", "int32Value": "SECRET"})

    assert b"SECRET" not in answer.body


async def test_messages_that_contain_themselves_too_deeply_are_refused(client):
    deep = {"chosenBook": {}}
    for _ in range(200):
        deep = {"list": [deep]}

    assert (await client("POST", "/v1/everything", deep)).status == 400


async def test_the_body_is_a_field_and_the_rest_is_in_the_query(client):
    answer = await client("POST", "/v1/shelves/1/books?bookId=b&validateOnly=true", {"title": "t"})

    assert answer.json == {
        "parent": "shelves/1", "bookId": "b", "validateOnly": True,
        "book": {"name": "", "title": "t", "genre": "GENRE_UNSPECIFIED", "tags": [], "copies": "0"},
    }  # fmt: skip


async def test_the_path_is_above_the_body(client):
    answer = await client("PUT", "/v1/shelves/1/books/2", {"name": "other", "title": "t"})

    assert (answer.json["book"]["name"], answer.json["book"]["title"]) == ("shelves/1/books/2", "t")


async def test_an_update_takes_its_mask_from_the_query(client):
    for verb in ("PATCH", "PUT"):
        answer = await client(verb, "/v1/shelves/1/books/2?updateMask=title,author.givenName", {"title": "t"})

        assert answer.json["updateMask"] == "title,author.givenName"


@pytest.mark.parametrize(
    ("body", "mask"),
    [
        ({"title": "t"}, "title"),
        ({"title": "", "copies": 0, "tags": []}, "copies,tags,title"),
        (
            {"author": {"givenName": "g", "family_name": ""}, "name": "in the path"},
            "author.familyName,author.givenName",
        ),
        ({"author": {}, "publishTime": None}, "author,publishTime"),
        ({"publishTime": "2026-01-31T12:00:00Z"}, "publishTime"),
        ({}, ""),
    ],
)
async def test_patch_takes_its_mask_from_the_body(client, body, mask):
    answer = await client("PATCH", "/v1/shelves/1/books/2", body)

    assert answer.json.get("updateMask", "") == mask


async def test_put_replaces_everything(client):
    assert (await client("PUT", "/v1/shelves/1/books/2", {"title": "t"})).json["updateMask"] == "*"


@pytest.mark.parametrize(
    ("verb", "target", "body", "word"),
    [
        ("POST", "/v1/shelves/1/books?book.title=x", {}, "body"),
        ("PUT", "/v1/shelves/1/books/2?book.name=x", {}, "body"),
        ("GET", "/v1/shelves/1/books?parent=shelves/2", None, "path"),
        ("POST", "/v1/everything?stringValue=x", {}, "query"),
        ("GET", "/v1/everything", {"stringValue": "x"}, "no body"),
    ],
)
async def test_a_field_in_the_wrong_place_is_refused(client, servicer, verb, target, body, word):
    answer = await client(verb, target, body)

    assert (answer.status, servicer.seen) == (400, [])
    assert word in answer.json["message"]


@pytest.mark.parametrize(
    ("target", "body", "field"),
    [
        ("/v1/tags/s", ["a", "b"], "strings"),
        ("/v1/books/s", [{"title": "t"}], "books"),
        ("/v1/titles/5", "x", "stringValue"),
        ("/v1/notes/s", {"a": "b"}, "notes"),
    ],
)
async def test_the_body_may_be_a_list_a_map_or_a_single_value(client, target, body, field):
    answer = await client("PUT", target, body)

    assert answer.status == 200, answer.body
    assert _part(answer.json[field], body) == body


@pytest.mark.parametrize(
    ("name", "request_body", "expected"),
    [
        ("book", {"book": {"title": "t"}}, {"title": "t"}),
        ("book", {}, {}),
        ("books", {"books": [{"title": "t"}]}, [{"title": "t"}]),
        ("tags", {"strings": ["a"]}, ["a"]),
        ("tags", {}, []),
        ("title", {"stringValue": "a"}, "a"),
    ],
)
async def test_the_answer_may_be_a_field_of_the_response(client, name, request_body, expected):
    answer = await client("POST", f"/v1/answers/{name}", request_body)

    assert _part(answer.json, expected) == expected


async def test_fields_without_presence_are_always_in_the_answer(client):
    answer = await client("GET", "/v1/everything")

    assert (answer.json["int64Value"], answer.json["strings"], answer.json["genre"]) == ("0", [], "GENRE_UNSPECIFIED")
    assert "book" not in answer.json
    assert "optionalString" not in answer.json


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=UTF-8", 200),
        ("application/merge-patch+json", 200),
        ("", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=latin-1", 415),
        ("multipart/form-data; boundary=x", 415),
    ],
)
async def test_the_body_must_be_json(client, kind, status):
    answer = await client("POST", "/v1/everything", {}, **({"content-type": kind} if kind else {}))

    assert answer.status == status


async def test_what_the_library_answers_is_what_it_was_asked(client, servicer):
    body = {"bytesValue": base64.b64encode(b"\0\1").decode(), "chosenGenre": "GENRE_NOVEL"}

    await client("POST", "/v1/everything", body)

    seen = library.message_class("Everything").FromString(servicer.seen[0].request)
    assert (seen.bytes_value, seen.WhichOneof("chosen")) == (b"\0\1", "chosen_genre")


def _part(answer, expected):
    """What of an answer is in the expectation."""
    if isinstance(answer, dict) and isinstance(expected, dict):
        return {name: _part(answer[name], value) for name, value in expected.items() if name in answer}
    if isinstance(answer, list) and isinstance(expected, list) and len(answer) == len(expected):
        return [_part(*pair) for pair in zip(answer, expected, strict=True)]
    return answer
