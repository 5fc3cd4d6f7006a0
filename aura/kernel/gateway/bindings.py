"""What contracts say about HTTP: each `google.api.http` option of each method, checked against the messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor

from aura.kernel.gateway.templates import PathTemplate, TemplateError

ANY_VERB = "*"
WHOLE = "*"
"""The body is the whole message."""


class BindingError(ValueError):
    """A method's `google.api.http` option cannot be followed; the message names the method and what to change."""

    def __init__(self, method: MethodDescriptor, problem: str) -> None:
        super().__init__(f"{method.full_name}: {problem}")


@dataclass(frozen=True, kw_only=True)
class Binding:
    """One HTTP method and path by which a method is called.

    Attributes:
        method: The method's descriptor.
        verb: The HTTP method, as `GET`; `*` for all.
        template: The path.
        body: The request field that is the body; `*` if the body is the request; empty if there is no body.
        response_body: The response field that is the body of the answer; empty if it is the whole response.
    """

    method: MethodDescriptor
    verb: str
    template: PathTemplate
    body: str
    response_body: str

    @property
    def path(self) -> str:
        """The method as gRPC names it, as `/aura.users.v1.UserService/GetUser`."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"


def bindings_of(services: Iterable[ServiceDescriptor]) -> list[Binding]:
    """Returns all bindings of services, in the order of the contracts; an additional one follows its first.

    Raises:
        BindingError: One of them cannot be followed.
    """
    return [_binding(method, rule) for service in services for method in service.methods for rule in _rules_of(method)]


def field_at(message: Descriptor, field_path: Iterable[str]) -> FieldDescriptor | None:
    """Returns the field that a path of names leads to; None if there is none, or it leads through a list or a map."""
    field: FieldDescriptor | None = None
    inside: Descriptor | None = message
    for name in field_path:
        field = inside.fields_by_name.get(name) if inside is not None else None
        if field is None:
            return None
        inside = None if field.is_repeated else field.message_type
    return field


def _rules_of(method: MethodDescriptor) -> Iterator[HttpRule]:
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return
    rule = options.Extensions[annotations_pb2.http]
    yield rule
    for additional in rule.additional_bindings:
        if additional.additional_bindings:
            raise BindingError(method, "an additional binding must not have additional bindings of its own")
        yield additional


def _binding(method: MethodDescriptor, rule: HttpRule) -> Binding:
    verb, text = _pattern(method, rule)
    try:
        template = PathTemplate.parse(text)
    except TemplateError as error:
        raise BindingError(method, str(error)) from error
    for variable in template.variables:
        _require_scalar(method, ".".join(variable.field_path))
    if rule.body not in {"", WHOLE} and rule.body not in method.input_type.fields_by_name:
        raise BindingError(method, f"body {rule.body!r} is no field of {method.input_type.full_name}")
    if rule.response_body and rule.response_body not in method.output_type.fields_by_name:
        raise BindingError(
            method, f"response_body {rule.response_body!r} is no field of {method.output_type.full_name}"
        )
    return Binding(method=method, verb=verb, template=template, body=rule.body, response_body=rule.response_body)


def _pattern(method: MethodDescriptor, rule: HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise BindingError(method, "google.api.http names no HTTP method and path")
    if kind == "custom":
        return rule.custom.kind.upper(), rule.custom.path
    return kind.upper(), getattr(rule, kind)


def _require_scalar(method: MethodDescriptor, field_path: str) -> None:
    field = field_at(method.input_type, field_path.split("."))
    if field is None:
        raise BindingError(method, f"the path has {{{field_path}}}, which is no field of {method.input_type.full_name}")
    if field.is_repeated or (field.message_type is not None and not _is_written_as_a_scalar(field.message_type)):
        raise BindingError(method, f"the path has {{{field_path}}}, which is no single value")


def _is_written_as_a_scalar(message: Descriptor) -> bool:
    return message.full_name in SCALAR_MESSAGES


SCALAR_MESSAGES = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Timestamp",
        "Duration",
        "FieldMask",
        "DoubleValue",
        "FloatValue",
        "Int64Value",
        "UInt64Value",
        "Int32Value",
        "UInt32Value",
        "BoolValue",
        "StringValue",
        "BytesValue",
    )
)
"""Messages whose JSON is one string, number or boolean, so that they can be in a path or query."""
