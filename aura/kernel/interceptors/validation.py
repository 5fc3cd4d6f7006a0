"""Holds every request to the rules of its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import protovalidate

from aura.kernel.errors import FieldViolation, InvalidRequest
from aura.kernel.interceptors.chain import Interceptor

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from aura.kernel.interceptors.call import Call


class Validation(Interceptor):
    """Checks `buf.validate` rules.

    A rule on a whole message names the field it is about by the beginning of its id, as `end_time.after_start`.
    """

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def on_request(self, call: Call, request: Message) -> None:
        """Raises `InvalidRequest` with the violations, as many as a client can take."""
        del call
        try:
            violations = self._validator.collect_violations(request)
        except protovalidate.EvaluationError as error:
            raise _out_of_range(error, request.DESCRIPTOR) from error
        if violations:
            raise InvalidRequest(*(_to_field_violation(found.proto, request.DESCRIPTOR) for found in violations))


def _out_of_range(error: protovalidate.EvaluationError, descriptor: Any) -> InvalidRequest:
    """Says that a rule cannot be computed, for a time too far from today is more than CEL's arithmetic holds."""
    rule = str(error).removeprefix("error evaluating ").partition(":")[0]
    return InvalidRequest(
        FieldViolation(field=_field_named_by(rule, descriptor), description="is out of range", rule=rule)
    )


def _to_field_violation(violation: protovalidate.ViolationPb, descriptor: Any) -> FieldViolation:
    elements = violation.field.elements if violation.field else ()
    return FieldViolation(
        field=".".join(map(_path_element, elements)) or _field_named_by(violation.rule_id, descriptor),
        description=violation.message.removeprefix("value "),
        rule=violation.rule_id,
    )


def _path_element(element: protovalidate.FieldPathElementPb) -> str:
    subscript = element.subscript
    return element.field_name if subscript is None else f"{element.field_name}[{subscript.value!r}]"


def _field_named_by(rule_id: str, descriptor: Any) -> str:
    """Returns the longest beginning of a rule's id that is the path of a field."""
    path: list[str] = []
    at = descriptor
    for name in rule_id.split("."):
        if at is None or name not in at.fields_by_name:
            break
        path.append(name)
        at = at.fields_by_name[name].message_type
    return ".".join(path)
