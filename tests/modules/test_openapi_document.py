"""The document of the platform's REST interface is valid, whole, and true of the messages it is about."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from openapi_spec_validator import OpenAPIV31SpecValidator
from typer.testing import CliRunner

from aura.kernel.access_table import platform_services
from aura.kernel.cli import command_line
from aura.kernel.contracts import access_of, describe
from aura.kernel.gateway.bindings import Binding, bindings_of
from aura.kernel.openapi_document import FROM_OUTSIDE, contract_comments, platform_openapi
from aura.modules import AURA_MODULES

BINDINGS = [
    binding
    for binding in bindings_of(map(describe, platform_services(AURA_MODULES)))
    if access_of(binding.path).external in FROM_OUTSIDE
]
WELL_KNOWN = {
    "google.protobuf.Timestamp": "2026-01-31T12:00:00.123456Z",
    "google.protobuf.Duration": "1.5s",
    "google.protobuf.FieldMask": "email,displayName",
    "google.protobuf.Any": {"@type": "type.googleapis.com/aura.users.v1.UserRegistered"},
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return platform_openapi(AURA_MODULES)


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            yield f"{verb.upper()} {path}", operation


def check(schema: Mapping[str, Any], document: Mapping[str, Any], value: object) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def answer_of(binding: Binding, document: Mapping[str, Any]) -> Any:
    found = next(
        operation
        for _, operation in operations(document)
        if operation["operationId"] == f"{binding.method.containing_service.name}_{binding.method.name}"
    )
    return next(iter(found["responses"]["200"]["content"].values()))["schema"]


def filled(message: Descriptor, depth: int = 0) -> Any:
    """The JSON of a message in which everything is set."""
    known = WELL_KNOWN.get(message.full_name)
    return known if known is not None else {field.name: value_of(field, depth) for field in message.fields}


def value_of(field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {"1": value_of(field.message_type.fields_by_name["value"], depth)}
    if field.message_type is not None:
        one: Any = filled(field.message_type, depth + 1)
    elif field.enum_type is not None:
        one = field.enum_type.values[-1].name
    else:
        one = {FieldDescriptor.CPPTYPE_STRING: "YQ==", FieldDescriptor.CPPTYPE_BOOL: True}.get(field.cpp_type, 7)
    return [one, one] if field.is_repeated else one


def test_it_is_valid(document: dict[str, Any]):
    OpenAPIV31SpecValidator(document).validate()


def test_it_has_every_method_that_is_open_to_the_outside(document: dict[str, Any]):
    described = {operation["operationId"] for _, operation in operations(document)}

    assert len(described) == len(list(operations(document))) == len(BINDINGS)
    methods = {f"{binding.method.containing_service.name}_{binding.method.name}" for binding in BINDINGS}
    assert methods <= described
    assert {
        "UserService_GetUser",
        "TherapySessionService_ScheduleTherapySession",
        "DisorderService_ListDisorders",
    } <= methods
    assert not {name for name in described if name.startswith(("SubscriberService", "AccessService"))}


def test_everybody_may_log_in_and_others_need_a_token(document: dict[str, Any]):
    open_to_all = {name for name, operation in operations(document) if not operation["security"]}

    assert "POST /api/auth/login" in open_to_all
    assert "GET /.well-known/jwks.json" in open_to_all
    assert "GET /api/mental-health/disorders" not in open_to_all


def test_everything_is_described(document: dict[str, Any]):
    assert [name for name, operation in operations(document) if not operation.get("summary")] == []
    assert [tag["name"] for tag in document["tags"] if not tag.get("description")] == []
    own = {name: schema for name, schema in document["components"]["schemas"].items() if name.startswith("aura.")}
    assert [name for name, schema in own.items() if not schema.get("description")] == []
    parameters = [one for _, operation in operations(document) for one in operation.get("parameters", ())]
    assert [one["name"] for one in parameters if not one.get("description")] == []


def test_examples_are_what_the_schemas_admit(document: dict[str, Any]):
    bodies = 0
    for _, operation in operations(document):
        parts = [operation.get("requestBody", {}), operation["responses"]["200"]]
        contents = [content for part in parts for content in part.get("content", {}).values()]
        bodies += "requestBody" in operation
        for content in (*contents, *operation.get("parameters", ())):
            if "example" in content:
                check(content["schema"], document, content["example"])

    assert bodies >= 20


def test_the_example_of_a_booking_is_one(document: dict[str, Any]):
    booking = document["paths"]["/api/mental-health/therapy-sessions"]["post"]

    example = booking["requestBody"]["content"]["application/json"]["example"]
    assert set(example) == {"therapistId", "patientId", "startTime", "endTime"}
    assert example["therapistId"] != example["patientId"]
    assert example["startTime"] < example["endTime"]


@pytest.mark.parametrize(
    "binding", [binding for binding in BINDINGS if not binding.response_body], ids=lambda binding: binding.method.name
)
@pytest.mark.parametrize("full", [False, True], ids=["empty", "full"])
def test_what_is_answered_is_of_the_form(full: bool, binding: Binding, document: dict[str, Any]):  # noqa: FBT001
    message: Any = GetMessageClass(binding.method.output_type)()
    if full:
        json_format.ParseDict(filled(binding.method.output_type), message)

    sent = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    check(answer_of(binding, document), document, {"result": sent} if binding.method.server_streaming else sent)


def test_the_comments_of_the_contracts_are_there():
    comments = contract_comments()

    assert comments["aura.users.v1.UserService.GetUser"].startswith("Returns a user.")
    assert comments["aura.options.v1.Role.ROLE_PATIENT"].startswith("Receives care")
    assert "google.rpc.ErrorInfo" in comments


def test_a_server_that_starts_does_without_it():
    code = "import sys, aura.kernel.serving; print([name for name in sys.modules if 'gateway.openapi' in name])"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"


def test_the_command_writes_it(tmp_path, document: dict[str, Any]):
    target = tmp_path / "new" / "openapi.json"

    shown = CliRunner().invoke(command_line(AURA_MODULES), ["openapi"])
    CliRunner().invoke(command_line(AURA_MODULES), ["openapi", "--output", str(target)])

    assert json.loads(shown.stdout) == json.loads(target.read_text()) == document
