"""Paths: which method a request is for, and what its variables are."""

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool

from aura.kernel.gateway import Gateway
from aura.kernel.gateway.bindings import BindingError, bindings_of
from aura.kernel.gateway.router import AmbiguousRoutes
from aura.kernel.gateway.templates import PathTemplate, TemplateError
from tests.gateway import library

ROUTES = {
    "GET /v1/shelves/1/books/2": ("GetBook", {"name": "shelves/1/books/2"}),
    "GET /v1/books/2": ("GetBook", {"name": "2"}),
    "GET /v1/shelves/1": ("GetShelf", {"name": "shelves/1"}),
    "GET /v1/shelves/1/books": ("ListBooks", {"parent": "shelves/1"}),
    "GET /v1/books:search": ("SearchBooks", {}),
    "GET /v1/books:other": ("_", None),
    "GET /v1/books/a:other": ("GetBook", {"name": "a:other"}),
    "GET /v1/shelves/1/books/b/pages/7": ("GetPage", {"parent": "shelves/1", "bookId": "b", "page": 7}),
    "GET /v1/files/a/b/c": ("ReadFile", {"path": "a/b/c"}),
    "GET /v1/files": ("ReadFile", {}),
    "GET /v1/files/a/b:raw": ("ReadFile", {"path": "a/b"}),
    "GET /v1/files/a:": ("ReadFile", {"path": "a:"}),
    "GET /v1/docs/a/b": ("ReadFile", {"path": "docs/a/b"}),
    "GET /v1/docs": ("ReadFile", {"path": "docs"}),
    "GET /v1/any/thing/of/x": ("ReadAny", {"path": "x"}),
    "GET /v1/rest/of/it": ("ReadAny", {}),
    "GET /v1/editions/latest": ("GetLatest", {}),
    "GET /v1/editions/first": ("GetEdition", {"path": "first"}),
    "GET /v1/caf%C3%A9/x": ("GetCoffee", {"path": "x"}),
    "GET /v1/users/u/messages/m": ("GetMessage", {"userId": "u", "messageId": "m"}),
    "GET /v1/deep/leaf/5": ("GetDeep", {"first": {"second": {"leaf": "leaf", "other": ""}, "number": 5}}),
    "DELETE /v1/messages/m": ("DeleteWithBody", {"messageId": "m"}),
    "SEARCH /v1/messages": ("FindMessage", {}),
    "BREW /v1/whatever/m": ("AnyMessage", {"messageId": "m"}),
    # slashes at the end count for nothing
    "GET /v1/shelves/1/": ("GetShelf", {"name": "shelves/1"}),
    "GET /v1/shelves/1//": ("GetShelf", {"name": "shelves/1"}),
    "GET /v1/books/": ("_", None),
    "GET /v1//shelves/1": ("_", None),
    # a variable of one segment is decoded as a whole, one of several but for its slashes
    "GET /v1/books/a%2Fb%20c%3A%C3%A9": ("GetBook", {"name": "a/b c:é"}),
    "GET /v1/shelves/a%2fb/books/c%20d%2B": ("GetBook", {"name": "shelves/a%2fb/books/c d+"}),
    "GET /v1/files/a%2F%25/b": ("ReadFile", {"path": "a%2F%/b"}),
    "GET /v1/books/a+b": ("GetBook", {"name": "a+b"}),
    "GET /v1/books/*": ("GetBook", {"name": "*"}),
    "GET /v1/books/**": ("GetBook", {"name": "**"}),
}


@pytest.mark.parametrize(("request_line", "expected"), ROUTES.items(), ids=str)
async def test_a_path_leads_to_its_method(client, servicer, request_line, expected):
    method, fields = expected

    answer = await client(*request_line.split(" "))

    if fields is None:
        assert (answer.status, answer.reason) == (404, "ROUTE_NOT_FOUND")
        return
    assert (answer.status, servicer.seen[0].method) == (200, method)
    assert {name: value for name, value in answer.json.items() if value and name in fields} == fields


@pytest.mark.parametrize(
    "target",
    [
        "/v1/books/%",
        "/v1/books/%zz",
        "/v1/books/%4",
        "/v1/books/%ff",
        "/v1/books/..",
        "/v1/books/%2e%2E",
        "/v1/./books",
    ],
)
async def test_a_path_that_is_wrong_is_refused(client, servicer, target):
    answer = await client("GET", target)

    assert (answer.status, answer.json["code"], servicer.seen) == (400, 3, [])


async def test_a_path_that_is_too_long_is_refused(client):
    answer = await client("GET", f"/v1/books/{'x' * 9000}")

    assert (answer.status, answer.reason) == (414, "PATH_TOO_LONG")


async def test_another_method_is_told_which_the_path_takes(client):
    answer = await client("PATCH", "/v1/messages/m")

    assert (answer.status, answer.reason) == (405, "METHOD_NOT_ALLOWED")
    assert answer.header("allow") == "DELETE, GET, HEAD, OPTIONS"
    assert answer.json["code"] == 12


async def test_head_is_get_without_a_body(client, servicer):
    got = await client("GET", "/v1/shelves/1")

    head = await client("HEAD", "/v1/shelves/1")

    assert (head.status, head.body, head.header("content-length")) == (200, b"", got.header("content-length"))
    assert [seen.method for seen in servicer.seen] == ["GetShelf", "GetShelf"]


async def test_options_says_what_the_path_takes(client, servicer):
    answer = await client("OPTIONS", "/v1/everything")

    assert (answer.status, answer.body, servicer.seen) == (204, b"", [])
    assert answer.header("allow") == "GET, HEAD, OPTIONS, POST"


def _service(name, *rules):
    """A service whose methods have these rules; each is the HTTP method, the path and other fields of the option."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{name}.proto", package=f"aura.test.{name}", dependency=["google/api/annotations.proto"], syntax="proto3"
    )
    message = file.message_type.add(name="Message")
    message.field.add(name="text", number=1, type=9, label=1)
    message.field.add(name="texts", number=2, type=9, label=3)
    message.field.add(name="inner", number=3, type=11, label=1, type_name=f".aura.test.{name}.Message")
    methods = file.service.add(name="Service")
    for index, (verb, path, others) in enumerate(rules):
        method = methods.method.add(name=f"Method{index}", input_type=f".{file.package}.Message")
        method.output_type = method.input_type
        rule = method.options.Extensions[annotations_pb2.http]
        setattr(rule, verb, path)
        for key, value in others.items():
            setattr(rule, key, value)
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(f"{file.package}.Service")


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("same", "/a/{text}", "/a/{inner.text}"),
        ("stars", "/a/*/b", "/a/{text=*}/b"),
        ("rest", "/a/{text=**}", "/a/**"),
        ("verbs", "/a/{text}:go", "/a/*:go"),
    ],
)
def test_paths_of_one_shape_are_refused_at_the_start(name, one, other):
    service = _service(name, ("get", one, {}), ("get", other, {}))

    with pytest.raises(AmbiguousRoutes) as caught:
        Gateway([service], lambda _: None)

    assert f"GET {one} of aura.test.{name}.Service.Method0" in str(caught.value)
    assert f"GET {other} of aura.test.{name}.Service.Method1" in str(caught.value)


def test_paths_that_differ_in_method_or_literal_are_not_ambiguous():
    rules = [
        ("get", "/b/{text}", {}),
        ("post", "/b/{text}", {}),
        ("get", "/b/literal", {}),
        ("get", "/b/{text}:go", {}),
    ]

    assert len(bindings_of([_service("differs", *rules)])) == 4


@pytest.mark.parametrize(
    ("name", "rule", "problem"),
    [
        ("nothing", ("get", "/{absent}", {}), "{absent}, which is no field"),
        ("list", ("get", "/{texts}", {}), "{texts}, which is no single value"),
        ("message", ("get", "/{inner}", {}), "{inner}, which is no single value"),
        ("through", ("get", "/{texts.text}", {}), "is no field"),
        ("body", ("post", "/a", {"body": "absent"}), "body 'absent' is no field"),
        ("answer", ("get", "/a", {"response_body": "absent"}), "response_body 'absent' is no field"),
        ("template", ("get", "a", {}), "needs '/'"),
    ],
)
def test_an_option_that_cannot_be_followed_is_refused(name, rule, problem):
    with pytest.raises(BindingError, match=r"Service\.Method0: ") as caught:
        bindings_of([_service(f"wrong_{name}", rule)])

    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "a", "/", "/a//b", "/a/", "/{", "/{a", "/{a=}", "/{a={b}}", "/a:", "/**/a", "/{a}/{a}", "/ä", "/a b", "/%4"],
)
def test_what_is_no_template(text):
    with pytest.raises(TemplateError):
        PathTemplate.parse(text)


def test_the_bindings_of_the_library_are_all_there():
    assert {binding.method.name for binding in bindings_of([library.service()])} == {
        method.name for method in library.service().methods if method.name != "Unbound"
    }
