"""The OpenAPI document says of services what the gateway does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from google.protobuf import (
    any_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass
from openapi_spec_validator import OpenAPIV31SpecValidator

from aura.kernel.gateway.bindings import bindings_of
from aura.kernel.gateway.openapi import openapi_document
from aura.kernel.gateway.openapi.examples import Examples
from aura.kernel.gateway.openapi.schemas import Schemas, Usage
from aura.kernel.gateway.openapi.texts import Texts, first_sentence, paragraphs
from aura.kernel.tooling import protos
from aura.kernel.tooling.comments import comments_in

PROTOS = Path(__file__).parent / "protos"
PACKAGE = "aura.openapi.v1"
BOOK, PAGE = f"{PACKAGE}.Book", f"{PACKAGE}.Page"

Document = Mapping[str, Any]
Schema = Mapping[str, Any]
Properties = Callable[[str, Usage], Schema]


@pytest.fixture(scope="session")  # descriptors are added once, also where a worker comes back to these tests
def comments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The comments of the probe's contract, whose descriptors are then there, too."""
    image = tmp_path_factory.mktemp("probe") / "image.binpb"
    protos.build_image(image, PROTOS)
    files = FileDescriptorSet.FromString(image.read_bytes())
    own = next(file for file in files.file if file.package == PACKAGE)
    for module in (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2):
        assert module.DESCRIPTOR.name in own.dependency  # importing it has loaded it
    descriptor_pool.Default().Add(own)
    return comments_in(files)


@pytest.fixture(scope="module")
def document(comments: dict[str, str]) -> Document:
    service = descriptor_pool.Default().FindServiceByName(f"{PACKAGE}.ProbeService")
    return openapi_document(
        bindings_of([service]),
        title="Probe",
        version="1.2.3",
        description="What it is.",
        comments=comments,
        needs_token=lambda method: method.name != "GetBook",
        servers=["https://probe.example"],
    )


@pytest.fixture(scope="module")
def components(document: Document) -> Mapping[str, Any]:
    return document["components"]["schemas"]


@pytest.fixture
def properties(comments: dict[str, str]) -> Properties:
    """Gives the schema of a message of the probe."""

    def schema_of(name: str, usage: Usage) -> Schema:
        schemas = Schemas(Texts(comments))
        schemas.of_message(descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.{name}"), usage)
        return schemas.components[f"{PACKAGE}.{name}"]

    return schema_of


def validator(schema: Schema, components: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    whole = {**schema, "components": {"schemas": dict(components)}}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


def parameters(operation: Mapping[str, Any], place: str) -> dict[str, Any]:
    return {one["name"]: one for one in operation.get("parameters", ()) if one["in"] == place}


def body_of(operation: Mapping[str, Any], kind: str = "application/json") -> Any:
    return operation["requestBody"]["content"][kind]


def answer_of(operation: Mapping[str, Any], kind: str = "application/json") -> Any:
    return operation["responses"]["200"]["content"][kind]


def test_it_is_valid_openapi_3_1(document: Document):
    OpenAPIV31SpecValidator(document).validate()

    assert document["openapi"].startswith("3.1.")
    assert document["info"] == {"title": "Probe", "version": "1.2.3", "description": "What it is."}
    assert document["servers"] == [{"url": "https://probe.example"}]
    assert document["tags"] == [{"name": "ProbeService", "description": "Shows all that a document may tell of."}]


def test_it_is_always_the_same(document: Document, comments: dict[str, str]):
    service = descriptor_pool.Default().FindServiceByName(f"{PACKAGE}.ProbeService")

    again = openapi_document(
        bindings_of([service]),
        title="Probe",
        version="1.2.3",
        description="What it is.",
        comments=comments,
        needs_token=lambda method: method.name != "GetBook",
        servers=["https://probe.example"],
    )

    assert repr(again) == repr(document)


class TestPaths:
    def test_variables_of_several_segments_have_a_pattern(self, document: Document):
        book = parameters(document["paths"]["/v1/books/{name}"]["get"], "path")["name"]
        text = parameters(document["paths"]["/v1/texts/{name}"]["get"], "path")["name"]

        assert book["schema"] == {"type": "string", "pattern": "^shelves/[^/]+/books/[^/]+$"}
        assert text["schema"] == {"type": "string", "pattern": "^.*$"}
        assert book["required"] is True
        assert book["description"] == "Names the book."

    def test_paths_that_differ_in_names_only_are_one(self, document: Document):
        assert set(document["paths"]["/v1/shelf-books/{name}"]) == {"put", "patch", "get"}

    def test_a_verb_stays_in_the_path(self, document: Document):
        assert "/v1/shelf-books/{name}:lend" in document["paths"]

    def test_a_path_for_all_methods_is_told_for_each(self, document: Document):
        wild = document["paths"]["/v1/any/{segment2}"]

        assert set(wild) == {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
        assert parameters(wild["get"], "path")["segment2"]["schema"] == {"type": "string"}

    def test_rules_of_variables_are_told(self, document: Document):
        shelf = parameters(document["paths"]["/v1/shelves/{shelf}/books"]["post"], "path")["shelf"]

        assert shelf["schema"] == {"type": "string", "format": "uuid"}


class TestOperations:
    def test_names_are_of_the_service_and_the_method_and_differ(self, document: Document):
        names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]

        assert len(set(names)) == len(names)
        assert {"ProbeService_GetBook", "ProbeService_GetBook_2", "ProbeService_UpdateBook_2"} <= set(names)

    def test_comments_are_told(self, document: Document):
        operation = document["paths"]["/v1/books/{name}"]["get"]

        assert operation["summary"] == "Returns a book"
        assert operation["description"].startswith("Returns a book. It is on its shelf.\n\nErrors: ")
        assert operation["tags"] == ["ProbeService"]

    def test_a_token_is_asked_for_where_it_is_needed(self, document: Document):
        assert document["paths"]["/v1/books/{name}"]["get"]["security"] == []
        assert document["paths"]["/v1/pages"]["post"]["security"] == [{"bearerAuth": []}]
        assert document["components"]["securitySchemes"]["bearerAuth"]["scheme"] == "bearer"

    def test_errors_are_those_that_may_be(self, document: Document):
        always = {"200", "400", "429", "500", "503", "504", "default"}

        assert set(document["paths"]["/v1/books/{name}"]["get"]["responses"]) == always | {"304", "404"}
        assert set(document["paths"]["/v1/pages"]["post"]["responses"]) == always | {"401", "403"}
        lend = document["paths"]["/v1/shelf-books/{name}:lend"]["post"]
        assert set(lend["responses"]) == always | {"401", "403", "404", "409"}


class TestQueries:
    @pytest.fixture
    def query(self, document: Document) -> dict[str, Any]:
        return parameters(document["paths"]["/v1/shelf-books/{name}"]["get"], "query")

    def test_all_single_values_that_are_not_in_the_path_are_in_it(self, query: dict[str, Any]):
        assert list(query) == ["filter.prefix", "genres", "since", "stars", "query"]

    def test_nested_fields_are_told_with_what_is_said_of_those_around_them(self, query: dict[str, Any]):
        assert query["filter.prefix"]["description"] == "Begins the title."
        assert "required" not in query["filter.prefix"]  # the filter is not

    def test_lists_are_repeated(self, query: dict[str, Any]):
        assert query["genres"]["style"] == "form"
        assert query["genres"]["explode"] is True
        assert query["genres"]["schema"] == {
            "type": "array",
            "items": {
                "$ref": f"#/components/schemas/{PACKAGE}.Genre",
                "not": {"enum": ["GENRE_UNSPECIFIED"]},
            },
            "uniqueItems": True,
            "maxItems": 2,
        }

    def test_there_is_no_null(self, query: dict[str, Any]):
        assert query["stars"]["schema"]["type"] == "integer"

    def test_what_the_rules_need_is_required_and_has_an_example(self, query: dict[str, Any]):
        assert query["query"]["required"] is True
        assert query["query"]["example"] == "example"
        assert [name for name, parameter in query.items() if "example" in parameter] == ["query"]

    def test_there_is_none_where_the_body_is_the_request(self, document: Document):
        assert parameters(document["paths"]["/v1/shelf-books/{name}:lend"]["post"], "query") == {}

    def test_what_is_not_in_the_body_is_in_it(self, document: Document):
        assert list(parameters(document["paths"]["/v1/shelves/{shelf}/books"]["post"], "query")) == ["requestId"]

    def test_what_is_deprecated_is_told(self, document: Document):
        view = parameters(document["paths"]["/v1/books/{name}"]["get"], "query")["view"]

        assert view["deprecated"] is True


class TestBodies:
    def test_the_whole_request_is_without_what_is_in_the_path(self, document: Document, components: Mapping[str, Any]):
        body = document["paths"]["/v1/shelf-books/{name}:lend"]["post"]["requestBody"]

        schema = components[f"{PACKAGE}.LendBookRequest"]
        assert body["content"]["application/json"] == {
            "schema": {"$ref": f"#/components/schemas/{PACKAGE}.LendBookRequest"},
            "example": {"reader": "example"},
        }
        assert body["required"] is True
        assert list(schema["properties"]) == ["reader", "etag"]
        assert schema["required"] == ["reader"]
        assert schema["additionalProperties"] is False

    def test_what_is_created_has_what_is_required(self, document: Document, components: Mapping[str, Any]):
        operation = document["paths"]["/v1/shelves/{shelf}/books"]["post"]

        assert body_of(operation)["schema"] == {"$ref": f"#/components/schemas/{BOOK}.Input"}
        assert operation["requestBody"]["required"] is False
        assert components[f"{BOOK}.Input"]["required"] == ["title", "isbn"]
        assert components[f"{BOOK}.Input"]["properties"]["title"]["minLength"] == 1
        assert components[f"{BOOK}.Input"]["properties"]["name"]["readOnly"] is True
        assert components[f"{BOOK}.Input"]["properties"]["key"]["writeOnly"] is True

    def test_what_replaces_need_not_have_what_cannot_change(self, document: Document, components: Mapping[str, Any]):
        operation = document["paths"]["/v1/shelf-books/{name}"]["put"]

        assert body_of(operation)["schema"] == {"$ref": f"#/components/schemas/{BOOK}.Replacement"}
        assert operation["requestBody"]["required"] is True
        assert components[f"{BOOK}.Replacement"]["required"] == ["title"]
        assert "name" in components[f"{BOOK}.Replacement"]["properties"]  # it may come back as it was read

    def test_what_updates_may_have_any_fields(self, document: Document, components: Mapping[str, Any]):
        operation = document["paths"]["/v1/shelf-books/{name}"]["patch"]

        assert body_of(operation)["schema"] == {"$ref": f"#/components/schemas/{BOOK}.Update"}
        assert "required" not in components[f"{BOOK}.Update"]
        assert "minLength" not in components[f"{BOOK}.Update"]["properties"]["title"]

    def test_a_list_may_be_the_body(self, document: Document):
        assert body_of(document["paths"]["/v1/pages"]["post"])["schema"] == {
            "type": "array",
            "items": {"$ref": f"#/components/schemas/{PAGE}.Input"},
            "minItems": 1,
        }

    def test_a_stream_of_requests_is_lines(self, document: Document):
        assert list(document["paths"]["/v1/pages:receive"]["post"]["requestBody"]["content"]) == [
            "application/x-ndjson"
        ]


class TestAnswers:
    def test_a_field_may_be_the_answer(self, document: Document):
        whole, absent = answer_of(document["paths"]["/v1/pages:receive"]["post"])["schema"]["anyOf"]

        assert answer_of(document["paths"]["/v1/pages"]["post"])["schema"]["type"] == "array"
        assert whole["$ref"] == f"#/components/schemas/{PAGE}"
        assert absent == {"type": "object", "maxProperties": 0}

    def test_streams_are_lines_of_results_and_an_error(self, document: Document):
        result, error = answer_of(document["paths"]["/v1/shelf-books/{name}"]["get"], "application/x-ndjson")["schema"][
            "oneOf"
        ]

        assert result["properties"]["result"] == {"$ref": f"#/components/schemas/{BOOK}"}
        assert error["properties"]["error"] == {"$ref": "#/components/schemas/google.rpc.Status"}

    def test_they_always_have_fields_without_presence(self, components: Mapping[str, Any]):
        assert components[BOOK]["required"] == ["name", "title", "isbn", "genre", "etag"]
        assert components[PAGE]["required"] == ["text", "notes"]
        assert "additionalProperties" not in components[BOOK]

    def test_the_version_of_what_is_answered_is_in_a_header(self, document: Document):
        assert "ETag" in document["paths"]["/v1/books/{name}"]["get"]["responses"]["200"]["headers"]
        assert "ETag" not in document["paths"]["/v1/pages"]["post"]["responses"]["200"]["headers"]

    def test_errors_are_told_with_their_details(self, components: Mapping[str, Any]):
        error = {
            "code": 3,
            "message": "is wrong",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "WRONG", "domain": "aura"},
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "a", "description": "is wrong"}],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.500s"},
                {"@type": "type.googleapis.com/unknown", "value": "YQ=="},
            ],
        }

        check = validator({"$ref": "#/components/schemas/google.rpc.Status"}, components)
        assert check.is_valid(error)
        assert not check.is_valid({"code": 3})


class TestHeaders:
    def test_a_request_with_an_id_takes_it_there_too(self, document: Document):
        assert set(parameters(document["paths"]["/v1/shelves/{shelf}/books"]["post"], "header")) == {
            "Idempotency-Key",
            "If-Match",
        }
        key = parameters(document["paths"]["/v1/shelves/{shelf}/books"]["post"], "header")["Idempotency-Key"]
        assert key["schema"] == {"type": "string", "maxLength": 36, "pattern": "^[\\x20-\\x7e]*$"}
        assert parameters(document["paths"]["/v1/pages"]["post"], "header") == {}

    def test_versions_are_asked_for_there(self, document: Document):
        lend, update, get = (
            set(parameters(document["paths"][path][verb], "header"))
            for path, verb in [
                ("/v1/shelf-books/{name}:lend", "post"),
                ("/v1/shelf-books/{name}", "put"),
                ("/v1/books/{name}", "get"),
            ]
        )

        assert lend == update == {"If-Match"}
        assert get == {"If-None-Match"}


class TestForms:
    def test_each_type_has_its_json_form(self, properties: Properties):
        forms = properties("Forms", Usage.RESPONSE)["properties"]

        assert forms["aDouble"] == {"type": "number", "format": "double"}
        assert forms["anInt32"]["type"] == "integer"
        assert forms["anInt64"] == {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
        assert forms["aUint32"]["minimum"] == 0
        assert forms["aUint64"]["type"] == "string"
        assert forms["aBool"] == {"type": "boolean"}
        assert forms["aBytes"] == {"type": "string", "contentEncoding": "base64"}
        assert forms["anEnum"] == {"$ref": f"#/components/schemas/{PACKAGE}.Genre"}
        assert forms["aTimestamp"] == {"type": "string", "format": "date-time"}
        assert forms["aDuration"]["pattern"].endswith("s$")
        assert forms["aMask"]["pattern"].startswith("^(")
        assert forms["aStruct"] == {"type": "object"}
        assert forms["aValue"] == {}
        assert forms["aList"] == {"type": "array"}
        assert forms["anAny"]["required"] == ["@type"]
        assert forms["aNull"] == {"type": "null"}
        assert forms["aTextOrNull"] == {"type": ["string", "null"]}
        assert forms["aNumberOrNull"]["type"] == ["string", "null"]
        assert forms["aMap"]["additionalProperties"]["format"] == "int64"
        assert forms["numbered"]["propertyNames"] == {"pattern": "^-?[0-9]+$"}
        assert forms["bools"] == {"type": "array", "items": {"type": "boolean"}}
        assert "otherName" in forms

    def test_enums_are_names_and_what_they_mean(self, components: Mapping[str, Any]):
        assert components[f"{PACKAGE}.Genre"] == {
            "type": "string",
            "enum": ["GENRE_UNSPECIFIED", "GENRE_NOVEL", "GENRE_ESSAY"],
            "description": "Lists genres.\n\n- `GENRE_UNSPECIFIED`: Is none.\n- `GENRE_NOVEL`: Tells what was made up.",
        }

    def test_of_a_choice_there_is_one_at_most(self, properties: Properties, components: Mapping[str, Any]):
        schema = properties("Forms", Usage.REQUEST)

        assert schema["description"] == "Has each kind of field.\n\nIt has at most one of `left`, `right`."
        check = validator(schema, components)
        assert check.is_valid({})
        assert check.is_valid({"left": ""})
        assert not check.is_valid({"left": "", "right": "GENRE_NOVEL"})

    def test_of_a_choice_that_must_be_made_there_is_one(self, properties: Properties, components: Mapping[str, Any]):
        check = validator(properties("Choice", Usage.REQUEST), components)

        assert check.is_valid({"right": ""})
        assert not check.is_valid({})

    @pytest.mark.parametrize("filled", [False, True])
    def test_what_is_answered_is_of_the_form(self, filled: bool, properties: Properties, components: Mapping[str, Any]):  # noqa: FBT001
        descriptor = descriptor_pool.Default().FindMessageTypeByName(f"{PACKAGE}.Forms")
        message: Any = GetMessageClass(descriptor)()
        if filled:
            packed = any_pb2.Any()
            packed.Pack(duration_pb2.Duration(seconds=1))
            json_format.ParseDict(
                {
                    "aDouble": 1.5,
                    "anInt64": "-5",
                    "aUint64": "18446744073709551615",
                    "aBytes": "YQ==",
                    "anEnum": "GENRE_ESSAY",
                    "aTimestamp": "2026-01-31T12:00:00.123456Z",
                    "aDuration": "-1.5s",
                    "aMask": "aB.c,d",
                    "aStruct": {"a": [1, None]},
                    "aValue": None,
                    "aList": [1],
                    "anAny": json_format.MessageToDict(packed),
                    "anEmpty": {},
                    "aTextOrNull": "",
                    "aMap": {"a": "1"},
                    "numbered": {"-1": "GENRE_NOVEL"},
                    "bools": [True],
                    "maybe": "",
                    "left": "",
                },
                message,
            )

        sent = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
        validator(properties("Forms", Usage.RESPONSE), components).validate(sent)


class TestRules:
    @pytest.fixture
    def rules(self, properties: Properties) -> Schema:
        return properties("Rules", Usage.REQUEST)

    @pytest.mark.parametrize(
        ("field", "told"),
        [
            ("long", {"type": "string", "minLength": 2, "maxLength": 5}),
            ("exact", {"type": "string", "minLength": 3, "maxLength": 3}),
            ("bounded", {"type": "string", "maxLength": 9}),
            (
                "matched",
                {
                    "type": "string",
                    "pattern": "^[a-z]*$",
                    "allOf": [{"pattern": "^a\\."}, {"pattern": "b"}],
                    "examples": ["a.b"],
                },
            ),
            ("chosen", {"type": "string", "enum": ["a", "b"]}),
            ("refused", {"type": "string", "not": {"pattern": "\\?"}, "allOf": [{"not": {"enum": ["a"]}}]}),
            ("fixed", {"type": "string", "const": "x"}),
            ("email", {"type": "string", "format": "email"}),
            ("link", {"type": "string", "format": "uri"}),
            ("compact", {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}),
            ("packed", {"type": "string", "contentEncoding": "base64", "minLength": 2, "maxLength": 8}),
            ("novel", {"$ref": f"#/components/schemas/{PACKAGE}.Genre", "const": "GENRE_NOVEL"}),
            (
                "genre",
                {"$ref": f"#/components/schemas/{PACKAGE}.Genre", "not": {"enum": ["GENRE_UNSPECIFIED"]}},
            ),
            (
                "few",
                {
                    "type": "array",
                    "items": {"type": "string", "maxLength": 4},
                    "minItems": 1,
                    "maxItems": 3,
                    "uniqueItems": True,
                },
            ),
            (
                "soon",
                {
                    "type": "string",
                    "format": "date-time",
                    "description": "In the future.\n\nAt most 3600s from now.",
                },
            ),
            (
                "lasting",
                {
                    "type": "string",
                    "pattern": "^(0|[1-9][0-9]{0,11})(\\.[0-9]{1,9})?s$",
                    "description": "At least 60s and at most 3600s.",
                },
            ),
            (
                "inCel",
                {
                    "type": "string",
                    "pattern": "^\\w*$",
                    "not": {"pattern": "[0-9]"},
                    "description": "Must be a word.\n\nMust have an even length.\n\nMust not have digits.",
                },
            ),
            ("switchedOff", {"type": "string"}),
            ("sure", {"type": "boolean", "const": True}),
        ],
    )
    def test_they_are_told_as_json_schema_or_in_words(self, rules: Schema, field: str, told: Schema):
        assert rules["properties"][field] == told

    def test_numbers_have_bounds(self, rules: Schema):
        number, natural, outside = (rules["properties"][name] for name in ("number", "natural", "outside"))

        assert (number["exclusiveMinimum"], number["maximum"]) == (0, 10)
        assert natural["pattern"] == "^[0-9]{1,20}$"
        assert natural["description"] == "At least 0 and less than 100."
        assert outside == {"type": "number", "format": "double"}

    def test_maps_have_rules_for_keys_and_values(self, rules: Schema):
        pairs = rules["properties"]["pairs"]

        assert (pairs["minProperties"], pairs["maxProperties"]) == (1, 2)
        assert pairs["propertyNames"] == {"minLength": 1}
        assert pairs["additionalProperties"]["minimum"] == 0

    def test_what_may_not_be_empty_is_required(self, rules: Schema):
        assert rules["required"] == [
            "long",
            "exact",
            "matched",
            "chosen",
            "fixed",
            "email",
            "compact",
            "number",
            "positive",
            "packed",
            "genre",
            "novel",
            "few",
            "pairs",
            "sure",
            "mustBe",
        ]

    def test_of_fields_that_exclude_each_other_there_is_one(self, rules: Schema):
        assert rules["description"] == "It has exactly one of `one`, `other`."
        assert rules["oneOf"] == [{"required": ["one"]}, {"required": ["other"]}]

    def test_answers_are_not_held_to_them(self, properties: Properties):
        assert properties("Rules", Usage.RESPONSE)["properties"]["long"] == {"type": "string"}


class TestExamples:
    def test_they_are_what_the_schemas_admit(self, document: Document, components: Mapping[str, Any]):
        shown = 0
        for path in document["paths"].values():
            for operation in path.values():
                for content in [*contents(operation), *operation.get("parameters", ())]:
                    if "example" in content:
                        shown += 1
                        validator(content["schema"], components).validate(content["example"])

        assert shown >= 15

    def test_lists_that_hold_themselves_end(self, components: Mapping[str, Any]):
        page = Examples(components).fullest({"$ref": f"#/components/schemas/{PAGE}"})

        assert page == {"text": "example", "notes": {}}

    def test_ids_differ(self, components: Mapping[str, Any]):
        examples = Examples(components)

        one, other = (examples.smallest({"type": "string", "format": "uuid"}, name) for name in ("oneId", "otherId"))

        assert one != other
        assert one == examples.smallest({"type": "string"}, "oneId")


def contents(operation: Mapping[str, Any]) -> list[Any]:
    """The contents of an operation's body and of its answers."""
    bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
    return [content for body in bodies for content in body.get("content", {}).values()]


class TestTexts:
    def test_lines_of_a_paragraph_become_one(self):
        assert paragraphs("a\nb\n\nc\n - d\n - e\n") == "a b\n\nc\n - d\n - e"

    def test_a_summary_is_a_sentence(self):
        assert first_sentence("Lists all. Then more.") == "Lists all"
        assert first_sentence("no end") == "no end"
        assert first_sentence("By version 1.2 too. More") == "By version 1.2 too"

    def test_comments_are_found_at_every_depth(self, comments: dict[str, str]):
        assert comments[f"{PACKAGE}.ProbeService"] == "Shows all that a document may tell of."
        assert comments[f"{PACKAGE}.Genre.GENRE_NOVEL"] == "Tells what was made up."
        assert comments[f"{PACKAGE}.Forms.way"] == "Says which way it goes."
        assert "google.api.HttpRule" not in comments
