"""Schemas of messages and enums, by their proto3 JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from google.api import field_behavior_pb2
from google.api.field_behavior_pb2 import IMMUTABLE, INPUT_ONLY, OUTPUT_ONLY, REQUIRED
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor

from aura.kernel.gateway.openapi.json_schema import Schema, admits, merged, reference
from aura.kernel.gateway.openapi.rules import examples_of, is_needed, keywords_of, rules_of, words_of
from aura.kernel.gateway.openapi.texts import Texts, described
from aura.kernel.gateway.openapi.well_known import scalar_schema, well_known_schema
from generated.buf.validate import validate_pb2
from generated.buf.validate.validate_pb2 import FieldRules

Path = tuple[str, ...]
NOTHING: frozenset[Path] = frozenset()

_KEY_PATTERNS = {
    FieldDescriptor.CPPTYPE_BOOL: "^(true|false)$",
    **dict.fromkeys((FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64), "^-?[0-9]+$"),
    **dict.fromkeys((FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64), "^[0-9]+$"),
}


class Usage(Enum):
    """What a message is for. What may be sent and what is answered differ, so one message may have several schemas.

    A response has all fields without presence, whatever their values, and is held to no rules. A request has to have
    what the contract asks for. Where it replaces a resource, it need not have what cannot be changed; where it updates
    some fields, it may have those alone. The value is what the schema's name ends with where the plain one is taken.
    """

    RESPONSE = ""
    REQUEST = ".Input"
    REPLACEMENT = ".Replacement"
    UPDATE = ".Update"


@dataclass(frozen=True, kw_only=True)
class _Variant:
    message: Descriptor
    usage: Usage
    given: frozenset[Path]


class Schemas:
    """Makes schemas, and keeps those that have a name: one for each enum, and for each message in each usage.

    Attributes:
        components: The schemas by name.
    """

    def __init__(self, texts: Texts) -> None:
        self.components: dict[str, Schema] = {}
        self._texts = texts
        self._names: dict[_Variant, str] = {}

    def of_message(self, message: Descriptor, usage: Usage, given: frozenset[Path] = NOTHING) -> Schema:
        """Returns the schema of a message.

        Args:
            message: the message.
            usage: what it is for.
            given: the fields that a request has in its path, which the message then need not have.
        """
        well_known = well_known_schema(message.full_name)
        if well_known is not None:
            return well_known
        variant = _Variant(message=message, usage=usage, given=given)
        name = self._names.get(variant)
        if name is None:
            name = self._names[variant] = self._free_name(variant)
            self.components[name] = {}  # holds the place while it is made, for messages that hold themselves
            self.components[name] = self._described(variant)
        return reference("schemas", name)

    def of_field(self, field: FieldDescriptor, usage: Usage, given: frozenset[Path] = NOTHING) -> Schema:
        """Returns the schema of a field, with what is said of it."""
        rules = FieldRules() if usage is Usage.RESPONSE else rules_of(field)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = self._map(field.message_type, rules, usage)
        elif field.is_repeated:
            items = self._value(field, rules.repeated.items, usage, given)
            value = {"type": "array", "items": _without_words(items)}
        else:
            value = self._value(field, rules, usage, given)
        if field.is_repeated:
            value = merged(value, keywords_of(field, rules))
        if usage is not Usage.RESPONSE and self.is_required(field, usage):
            value = value | _not_empty(field, value)
        return value | self._annotations(field, rules, usage)

    def of_enum(self, enum: EnumDescriptor) -> Schema:
        """Returns the schema of an enum: the names of its values."""
        if enum.full_name == "google.protobuf.NullValue":
            return {"type": "null"}
        if enum.full_name not in self.components:
            names = [value.name for value in enum.values]
            said = {name: self._texts.named(f"{enum.full_name}.{name}") for name in names}
            listed = "\n".join(f"- `{name}`: {text}" for name, text in said.items() if text)
            self.components[enum.full_name] = {"type": "string", "enum": names} | described(
                self._texts.of(enum), listed
            )
        return reference("schemas", enum.full_name)

    def is_required(self, field: FieldDescriptor, usage: Usage) -> bool:
        """Returns whether a message must have a field."""
        behaviors = behaviors_of(field)
        if usage is Usage.RESPONSE:
            return not field.has_presence and INPUT_ONLY not in behaviors
        if OUTPUT_ONLY in behaviors:
            return False
        if is_needed(field, rules_of(field)):
            return True
        may_lack = usage is Usage.UPDATE or (usage is Usage.REPLACEMENT and IMMUTABLE in behaviors)
        return REQUIRED in behaviors and not may_lack

    def _free_name(self, variant: _Variant) -> str:
        plain = variant.message.full_name
        name = plain if plain not in self.components else f"{plain}{variant.usage.value}"
        number = 2
        while name in self.components:
            name, number = f"{plain}{variant.usage.value}{number}", number + 1
        return name

    def _described(self, variant: _Variant) -> Schema:
        message, usage = variant.message, variant.usage
        fields = [field for field in message.fields if not _is_left_out(field, variant)]
        schema: Schema = {
            "type": "object",
            "properties": {
                field.json_name: self.of_field(field, usage, _below(field.name, variant.given)) for field in fields
            },
        }
        required = [
            field.json_name for field in fields if self.is_required(field, usage) and (field.name,) not in variant.given
        ]
        if required:
            schema["required"] = required
        choices = list(_choices(message))
        said = [self._texts.of(message), *(_choice_in_words(names, required=must) for names, must in choices)]
        if usage is not Usage.RESPONSE:
            schema["additionalProperties"] = False
            schema = merged(schema, *(_choice_schema(names, required=must) for names, must in choices))
        return schema | described(*said)

    def _value(self, field: FieldDescriptor, rules: FieldRules, usage: Usage, given: frozenset[Path]) -> Schema:
        """Returns the schema of a field's value, or of one item of a list."""
        if field.message_type is not None:
            schema = self.of_message(field.message_type, usage, given)
        elif field.enum_type is not None:
            schema = self.of_enum(field.enum_type)
        else:
            schema = scalar_schema(field.type)
        asked = {} if field.is_repeated and rules.WhichOneof("type") == "repeated" else keywords_of(field, rules)
        if examples := examples_of(rules):
            asked["examples"] = examples
        return schema | asked  # what rules ask is narrower

    def _map(self, entry: Descriptor, rules: FieldRules, usage: Usage) -> Schema:
        key, value = entry.fields_by_name["key"], entry.fields_by_name["value"]
        keys = keywords_of(key, rules.map.keys)
        if pattern := _KEY_PATTERNS.get(key.cpp_type):
            keys = merged(keys, {"pattern": pattern})
        schema: Schema = {
            "type": "object",
            "additionalProperties": self._value(value, rules.map.values, usage, NOTHING),
        }
        return schema | ({"propertyNames": keys} if keys else {})

    def _annotations(self, field: FieldDescriptor, rules: FieldRules, usage: Usage) -> Schema:
        behaviors = behaviors_of(field)
        said: Schema = described(self._texts.of(field), *words_of(rules))
        if OUTPUT_ONLY in behaviors:
            said["readOnly"] = True
        if INPUT_ONLY in behaviors and usage is not Usage.RESPONSE:
            said["writeOnly"] = True
        if field.GetOptions().deprecated:
            said["deprecated"] = True
        return said


def behaviors_of(field: FieldDescriptor) -> Iterable[int]:
    """Returns the `google.api.field_behavior` of a field."""
    behaviors: Iterable[int] = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return behaviors


def _not_empty(field: FieldDescriptor, schema: Schema) -> Schema:
    """Returns what keeps a required field from being empty, which in proto3 is the same as not being set (AIP-203)."""
    if field.has_presence:
        return {}
    if schema.get("type") == "array":
        return {"minItems": max(schema.get("minItems", 0), 1)}
    is_text = schema.get("type") == "string" and field.type == FieldDescriptor.TYPE_STRING
    return {"minLength": 1} if is_text and admits(schema, "") else {}


def _without_words(items: Schema) -> Schema:
    return {keyword: value for keyword, value in items.items() if keyword != "description"}


def _is_left_out(field: FieldDescriptor, variant: _Variant) -> bool:
    """Returns whether a field is in the path alone; one that the server gives may come back with the resource."""
    return (field.name,) in variant.given and OUTPUT_ONLY not in behaviors_of(field)


def _below(name: str, given: frozenset[Path]) -> frozenset[Path]:
    return frozenset(path[1:] for path in given if len(path) > 1 and path[0] == name)


def _choices(message: Descriptor) -> Iterator[tuple[list[str], bool]]:
    """Yields the JSON names of which a message may have one, and whether it must."""
    for oneof in message.oneofs:
        if not _is_of_one_optional(oneof):
            rule = oneof.GetOptions().Extensions[validate_pb2.oneof]
            yield [field.json_name for field in oneof.fields], rule.required
    for group in message.GetOptions().Extensions[validate_pb2.message].oneof:
        yield [message.fields_by_name[name].json_name for name in group.fields], group.required


def _is_of_one_optional(oneof: OneofDescriptor) -> bool:
    return len(oneof.fields) == 1 and oneof.name == f"_{oneof.fields[0].name}"


def _choice_schema(names: list[str], *, required: bool) -> Schema:
    one: list[Schema] = [{"required": [name]} for name in names]
    return {"oneOf": one if required else [*one, {"not": {"anyOf": one}}]}


def _choice_in_words(names: list[str], *, required: bool) -> str:
    return f"It has {'exactly' if required else 'at most'} one of {', '.join(f'`{name}`' for name in names)}."
