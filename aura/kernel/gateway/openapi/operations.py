"""Operations: one for each HTTP method and path by which a method is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from aura.kernel.gateway.bindings import WHOLE, Binding
from aura.kernel.gateway.masks import UPDATE_MASK
from aura.kernel.gateway.openapi.errors import STATUS, error_codes, error_response
from aura.kernel.gateway.openapi.examples import Examples, NoExample
from aura.kernel.gateway.openapi.json_schema import Schema, reference
from aura.kernel.gateway.openapi.parameters import Parameters, answers_with_etag
from aura.kernel.gateway.openapi.schemas import Schemas, Usage
from aura.kernel.gateway.openapi.texts import Texts, described, first_sentence
from aura.kernel.gateway.responses import JSON_TYPE, LINES_TYPE

BEARER = "bearerAuth"
STREAM = (
    "The answers, one a line, as they come. Where the call fails after the first of them, the last line has `error` "
    "instead of `result`."
)
_PARTIAL = {"PATCH": Usage.UPDATE, "PUT": Usage.REPLACEMENT}


class Operations:
    """Makes the operations of bindings."""

    def __init__(self, schemas: Schemas, texts: Texts) -> None:
        self._schemas, self._texts = schemas, texts
        self._examples = Examples(schemas.components)
        self._parameters = Parameters(schemas, texts, self._examples)

    def of(self, binding: Binding, operation_id: str, path_names: Sequence[str], *, needs_token: bool) -> Schema:
        """Returns the operation of a binding."""
        said = self._texts.of(binding.method)
        operation: Schema = {
            "operationId": operation_id,
            "tags": [binding.method.containing_service.name],
            **({"summary": first_sentence(said)} if said else {}),
            **described(said),
            "security": [{BEARER: []}] if needs_token else [],
        }
        if binding.method.GetOptions().deprecated or binding.method.containing_service.GetOptions().deprecated:
            operation["deprecated"] = True
        if parameters := self._parameters.of(binding, path_names):
            operation["parameters"] = parameters
        if binding.body:
            operation["requestBody"] = self._request_body(binding)
        operation["responses"] = self._responses(binding, needs_token=needs_token)
        return operation

    def _request_body(self, binding: Binding) -> Schema:
        schema = self._body_schema(binding)
        content: Schema = {"schema": schema}
        with suppress(NoExample):
            if example := self._examples.smallest(schema):  # one without anything shows nothing
                content["example"] = example
        kind = LINES_TYPE if binding.method.client_streaming else JSON_TYPE
        return {"content": {kind: content}, "required": self._needs_body(binding, schema)}

    def _body_schema(self, binding: Binding) -> Schema:
        in_path = frozenset(variable.field_path for variable in binding.template.variables)
        message = binding.method.input_type
        if binding.body == WHOLE:
            return self._schemas.of_message(message, Usage.REQUEST, in_path)
        field = message.fields_by_name[binding.body]
        usage = _PARTIAL.get(binding.verb, Usage.REQUEST) if _has_mask(binding) else Usage.REQUEST
        given = frozenset(path[1:] for path in in_path if path[0] == field.name and len(path) > 1)
        return self._schemas.of_field(field, usage, given)

    def _needs_body(self, binding: Binding, schema: Schema) -> bool:
        if binding.body != WHOLE:
            return self._schemas.is_required(binding.method.input_type.fields_by_name[binding.body], Usage.REQUEST)
        whole = self._schemas.components[schema["$ref"].rpartition("/")[2]]
        return bool(whole.get("required"))

    def _responses(self, binding: Binding, *, needs_token: bool) -> Schema:
        responses: Schema = {"200": self._success(binding)}
        if binding.verb == "GET" and answers_with_etag(binding):
            responses["304"] = {"description": "The answer is still the one that `If-None-Match` names."}
        for code in error_codes(binding, self._texts, needs_token=needs_token):
            responses[code] = error_response(code)
        return responses

    def _success(self, binding: Binding) -> Schema:
        headers = {"X-Request-Id": reference("headers", "X-Request-Id")}
        if answers_with_etag(binding):
            headers["ETag"] = reference("headers", "ETag")
        said = self._texts.of(binding.method.output_type) or "The answer."
        if binding.method.server_streaming:
            content: Mapping[str, Any] = {LINES_TYPE: {"schema": _line_schema(self._answer_schema(binding))}}
            said = f"{said}\n\n{STREAM}"
        else:
            content = {JSON_TYPE: self._with_example(self._answer_schema(binding))}
        return {"description": said, "headers": headers, "content": content}

    def _answer_schema(self, binding: Binding) -> Schema:
        if not binding.response_body:
            return self._schemas.of_message(binding.method.output_type, Usage.RESPONSE)
        field: FieldDescriptor = binding.method.output_type.fields_by_name[binding.response_body]
        schema = self._schemas.of_field(field, Usage.RESPONSE)
        if not field.has_presence:
            return schema
        absent: Schema = {"type": "null"} if field.message_type is None else {"type": "object", "maxProperties": 0}
        return {"anyOf": [schema, absent]}

    def _with_example(self, schema: Schema) -> Schema:
        try:
            return {"schema": schema, "example": self._examples.fullest(schema)}
        except NoExample:
            return {"schema": schema}


def _has_mask(binding: Binding) -> bool:
    return UPDATE_MASK in binding.method.input_type.fields_by_name


def _line_schema(answer: Schema) -> Schema:
    return {
        "type": "object",
        "oneOf": [
            {"properties": {"result": answer}, "required": ["result"]},
            {"properties": {"error": reference("schemas", STATUS)}, "required": ["error"]},
        ],
    }
