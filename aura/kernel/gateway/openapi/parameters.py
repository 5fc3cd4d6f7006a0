"""Parameters: of a request's path, query and headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from google.api.field_behavior_pb2 import OUTPUT_ONLY
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from aura.kernel.gateway.bindings import SCALAR_MESSAGES, WHOLE, Binding, field_at
from aura.kernel.gateway.openapi.examples import Examples, NoExample
from aura.kernel.gateway.openapi.json_schema import Schema
from aura.kernel.gateway.openapi.schemas import Schemas, Usage, behaviors_of
from aura.kernel.gateway.openapi.texts import Texts, described
from aura.kernel.gateway.openapi.well_known import FREE_MESSAGES, without_null
from aura.kernel.gateway.preconditions import ETAG_FIELD, REQUEST_ID_FIELD
from aura.kernel.gateway.templates import ANY_SEGMENT, ANY_SEGMENTS, PathTemplate, Variable

IDEMPOTENCY_KEY = (
    "Makes the call safe to repeat: the same as `requestId`, so that one of them suffices. The same key with another "
    "request is refused."
)
IF_MATCH = 'Refuses the change unless the resource is still at this version: the `ETag` of an earlier answer, as `"3"`.'
IF_NONE_MATCH = "Answers 304, without a body, if this is the `ETag` of the answer."

_PRINTABLE = r"^[\x20-\x7e]*$"
_ENTITY_TAG = r'^(\*|"[\x21\x23-\x7e]*")$'

Fields = tuple[FieldDescriptor, ...]
"""A field at any depth: those that lead to it, and itself."""


class Parameters:
    """Makes the parameters of bindings."""

    def __init__(self, schemas: Schemas, texts: Texts, examples: Examples) -> None:
        self._schemas, self._texts, self._examples = schemas, texts, examples

    def of(self, binding: Binding, path_names: Sequence[str]) -> list[Schema]:
        """Returns the parameters of a binding, whose path has these names for what is variable in it."""
        return [
            *self._in_path(binding, path_names),
            *(self._in_query(fields) for fields in query_fields(binding)),
            *self._in_headers(binding),
        ]

    def _in_path(self, binding: Binding, names: Sequence[str]) -> Iterator[Schema]:
        for name, part in zip(names, variable_parts(binding.template), strict=True):
            schema: Schema = {"type": "string"}
            said: Schema = {}
            if isinstance(part, Variable):
                fields = _fields_at(binding.method.input_type, part.field_path)
                schema, said = self._schema(fields[-1]), self._said(fields)
                if pattern := pattern_of(binding.template, part):
                    schema = {"allOf": [schema, {"pattern": pattern}]} if "pattern" in schema else schema
                    schema = {"pattern": pattern} | schema
            yield self._with_example({"name": name, "in": "path", "required": True, "schema": schema} | said)

    def _in_query(self, fields: Fields) -> Schema:
        parameter: Schema = {
            "name": ".".join(field.json_name for field in fields),
            "in": "query",
            "schema": self._schema(fields[-1]),
        }
        if fields[-1].is_repeated:
            parameter |= {"style": "form", "explode": True}
        if any(field.GetOptions().deprecated for field in fields):
            parameter["deprecated"] = True
        parameter |= self._said(fields)
        if all(self._schemas.is_required(field, Usage.REQUEST) for field in fields):
            return self._with_example(parameter | {"required": True})
        return parameter  # without an example: it would be filled in where somebody tries the method

    def _in_headers(self, binding: Binding) -> Iterator[Schema]:
        message = binding.method.input_type
        if takes_request_id(message):
            rules = self._schema(message.fields_by_name[REQUEST_ID_FIELD])
            yield _header("Idempotency-Key", IDEMPOTENCY_KEY, {"pattern": _PRINTABLE} | rules)
        if takes_etag(binding):
            yield _header("If-Match", IF_MATCH, {"pattern": _ENTITY_TAG})
        if binding.verb == "GET" and answers_with_etag(binding):
            yield _header("If-None-Match", IF_NONE_MATCH, {})

    def _schema(self, field: FieldDescriptor) -> Schema:
        schema = self._schemas.of_field(field, Usage.REQUEST)
        return without_null({keyword: value for keyword, value in schema.items() if keyword not in _OF_PROPERTIES})

    def _said(self, fields: Fields) -> Schema:
        own = self._schemas.of_field(fields[-1], Usage.REQUEST).get("description", "")
        return described(*(self._texts.of(field) for field in fields[:-1]), own)

    def _with_example(self, parameter: Schema) -> Schema:
        try:
            return parameter | {"example": self._examples.smallest(parameter["schema"], parameter["name"])}
        except NoExample:
            return parameter


_OF_PROPERTIES = {"description", "readOnly", "writeOnly", "deprecated"}


def query_fields(binding: Binding) -> Iterator[Fields]:
    """Yields the fields that a binding takes in its query: what is neither in the path nor in the body."""
    if binding.body != WHOLE:
        in_path = {variable.field_path for variable in binding.template.variables}
        for fields in _leaves(binding.method.input_type, ()):
            if fields[0].name != binding.body and tuple(field.name for field in fields) not in in_path:
                yield fields


def variable_parts(template: PathTemplate) -> list[Variable | int]:
    """Returns what is variable in a path: its variables, and the segments `*` and `**` that are in none."""
    parts: list[Variable | int] = []
    at = 0
    starts = {variable.start: variable for variable in template.variables}
    while at < len(template.segments):
        variable = starts.get(at)
        if variable is not None:
            parts.append(variable)
            at = end_of(template, variable)
            continue
        if template.segments[at] in {ANY_SEGMENT, ANY_SEGMENTS}:
            parts.append(at)
        at += 1
    return parts


def end_of(template: PathTemplate, variable: Variable) -> int:
    """Returns the segment after the last of a variable."""
    return len(template.segments) if variable.end is None else variable.end


def pattern_of(template: PathTemplate, variable: Variable) -> str:
    """Returns what a variable of several segments looks like; empty if it is any one segment."""
    segments = template.segments[variable.start : end_of(template, variable)]
    if segments == (ANY_SEGMENT,):
        return ""
    forms = {ANY_SEGMENT: "[^/]+", ANY_SEGMENTS: ".*"}
    return f"^{'/'.join(forms.get(segment, segment.replace('.', '[.]')) for segment in segments)}$"


def takes_request_id(message: Descriptor) -> bool:
    """Returns whether a request has an id of its own, by which it may be repeated."""
    return _is_text(message.fields_by_name.get(REQUEST_ID_FIELD))


def takes_etag(binding: Binding) -> bool:
    """Returns whether a request says, in itself or in its body, which version of a resource it is about."""
    message = binding.method.input_type
    body = message.fields_by_name.get(binding.body)
    inside = body.message_type if body is not None and not body.is_repeated else None
    return has_etag(message) or (inside is not None and has_etag(inside))


def has_etag(message: Descriptor) -> bool:
    """Returns whether a message says its version."""
    return _is_text(message.fields_by_name.get(ETAG_FIELD))


def answers_with_etag(binding: Binding) -> bool:
    """Returns whether the answers of a binding have the header ETag."""
    return has_etag(binding.method.output_type) and not binding.method.server_streaming


def _header(name: str, said: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "description": said, "schema": {"type": "string"} | schema}


def _leaves(message: Descriptor, above: Fields) -> Iterator[Fields]:
    for field in message.fields:
        fields = (*above, field)
        inside = field.message_type
        if OUTPUT_ONLY in behaviors_of(field):
            continue
        if inside is None or inside.full_name in SCALAR_MESSAGES:
            yield fields
        elif not (field.is_repeated or inside.full_name in FREE_MESSAGES or _is_inside_of_itself(inside, above)):
            yield from _leaves(inside, fields)


def _is_inside_of_itself(message: Descriptor, above: Fields) -> bool:
    return any(message in {field.containing_type, field.message_type} for field in above)


def _fields_at(message: Descriptor, path: Sequence[str]) -> Fields:
    found = [field_at(message, path[:end]) for end in range(1, len(path) + 1)]
    return tuple(field for field in found if field is not None)


def _is_text(field: FieldDescriptor | None) -> bool:
    return field is not None and field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
