"""What the OpenAPI document promises of the requests that it admits and of those that it does not, as checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CheckContext, CheckFunction, not_a_server_error
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from aura.kernel.access_table import platform_services
from aura.kernel.contracts import describe
from aura.modules import AURA_MODULES
from generated.buf.validate import validate_pb2

BAD_REQUEST = 400
OF_THE_GATEWAY, OF_A_CONTRACT = "MALFORMED_REQUEST", "INVALID_REQUEST"
"""The reasons of errors that find fault with a request by itself, not with the state of things."""
BOUNDS_OF_TIMES = ("duration.", "timestamp.")
"""Rules that the document has in words: JSON Schema compares no times."""
REQUIRED_IN_PARTS = {("GET /api/mental-health/therapy-sessions/statistics", "required")}
"""Messages in the query must be there, of which each field may be missing: JSON Schema sees the fields only."""


def admits_what_the_document_admits(_: CheckContext, response: Response, case: Case) -> None:
    """Fails if a request is refused for its form that has the form that the document asks for.

    Takes the place of a check that knows no statuses but HTTP's: 400 is FAILED_PRECONDITION, too. What no schema can
    say is left out: rules in CEL, on several fields or on one in some requests only, bounds of times, and what depends
    on the state of things, which no rule of a contract is about.
    """
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code != BAD_REQUEST:
        return
    error = response.json()
    reasons = set(_values(error, "ErrorInfo", "reason"))
    broken = {each.get("reason", "") for found in _values(error, "BadRequest", "fieldViolations") for each in found}
    if OF_THE_GATEWAY in reasons or (
        OF_A_CONTRACT in reasons and any(_could_be_said(rule, case.operation.label) for rule in broken)
    ):
        raise Failure(operation=case.operation.label, title="refused what the document admits", message=response.text)


def _could_be_said(rule: str, label: str) -> bool:
    said_in_words = rule in RULES_IN_CEL or rule.startswith(BOUNDS_OF_TIMES) or (label, rule) in REQUIRED_IN_PARTS
    return bool(rule) and not said_in_words


def refuses_what_the_document_refuses(context: CheckContext, response: Response, case: Case) -> bool | None:
    """Fails if a request is accepted that has not the form that the document asks for.

    A parameter without a value is taken for one that is not given, as proto3 has it, whatever form it would need.
    """
    if "" in (case.query or {}).values():
        return None
    return negative_data_rejection(context, response, case)


def left_out(case: Case) -> list[CheckFunction]:
    """The checks that are not made, each for its reason."""
    return [
        positive_data_acceptance,  # `admits_what_the_document_admits` takes its place
        negative_data_rejection,  # `refuses_what_the_document_refuses` does
        ignored_auth,  # it calls again with other credentials, and who is logged out meanwhile makes it fail
        *([not_a_server_error] if case.operation.label.endswith(":tail") else []),  # it is called with little time
    ]


def _values(error: Any, kind: str, name: str) -> Iterator[Any]:
    for detail in error["details"]:
        if detail["@type"].endswith(f".{kind}") and name in detail:
            yield detail[name]


def _rules_in_cel() -> Iterator[str]:
    seen: set[str] = set()
    for service in platform_services(AURA_MODULES):
        for method in describe(service).methods:
            yield from _rules_in(method.input_type, seen)


def _rules_in(message: Descriptor, seen: set[str]) -> Iterator[str]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    yield from (rule.id for rule in message.GetOptions().Extensions[validate_pb2.message].cel)
    for field in message.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field].cel
        yield from (rule.id for rule in rules if "matches" not in rule.expression)
        if field.message_type is not None:
            yield from _rules_in(field.message_type, seen)


RULES_IN_CEL = frozenset(_rules_in_cel())
