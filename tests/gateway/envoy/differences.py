"""Where Aura and Envoy differ, and which sentence decides: a closed list, the same as in the documentation."""

from __future__ import annotations

import json
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, unquote_to_bytes

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from aura.kernel.contracts import describe
from aura.kernel.gateway.bindings import WHOLE, Binding, bindings_of
from aura.kernel.gateway.masks import UPDATE_MASK
from tests.gateway import library
from tests.gateway.envoy.side_by_side import Comparison

HTTP_PROTO = "google/api/http.proto"
PROTO_JSON = "ProtoJSON"
NEITHER, AURA, ENVOY, BOTH = (False, False), (True, False), (False, True), (True, True)
"""Who made a call of the request: Aura, Envoy."""


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A class of requests that both do not answer alike, and why that is no fault of Aura's.

    Attributes:
        name: The heading in the documentation.
        source: What the sentence is of.
        sentence: What decides.
        calls: Who makes a call of such a request, as `Comparison.calls` has it.
        applies: Whether a request is one.
    """

    name: str
    source: str
    sentence: str
    calls: tuple[tuple[bool, bool], ...]
    applies: Callable[[Comparison], bool]


def explanation_of(comparison: Comparison) -> Explained | None:
    """The first class that a difference is of; None if it is a fault."""
    return next(
        (each for each in EXPLAINED if comparison.calls in each.calls and each.applies(comparison)),
        None,
    )


# ---- what a request is, found out without Aura's gateway


def _method(comparison: Comparison) -> MethodDescriptor:
    """The method that one of the sides called."""
    name = (comparison.aura.seen or comparison.envoy.seen)[0][0]
    service, _, method = name.rpartition(".")
    return (describe(service) if service else library.service()).methods_by_name[method]


def _bindings(comparison: Comparison) -> list[Binding]:
    """The bindings of that method that have the request's HTTP method."""
    method = _method(comparison)
    found = bindings_of([method.containing_service])
    return [each for each in found if each.method is method and each.verb in {"*", comparison.request.verb}]


def _path(comparison: Comparison) -> str:
    return comparison.request.target.partition("?")[0]


def _query(comparison: Comparison) -> str:
    return comparison.request.target.partition("?")[2]


def _parameters(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Names, signs and values of the query."""
    parts = [part.partition("=") for part in _query(comparison).split("&") if part]
    return [(unquote_plus(name), sign, unquote_plus(value)) for name, sign, value in parts]


def _field_path(comparison: Comparison, name: str) -> list[FieldDescriptor] | None:
    """The fields that a parameter's name leads through; None if there is one that is not there."""
    inside, path = _method(comparison).input_type, list[FieldDescriptor]()
    for part in name.split("."):
        fields = inside.fields if inside is not None else ()
        field = next((each for each in fields if part in {each.name, each.json_name, each.camelcase_name}), None)
        if field is None:
            return None
        path.append(field)
        inside = field.message_type
    return path


def _names(path: list[FieldDescriptor]) -> tuple[str, ...]:
    return tuple(field.name for field in path)


def _fields_in_query(comparison: Comparison) -> Iterator[list[FieldDescriptor]]:
    paths = (_field_path(comparison, name) for name, _, _ in _parameters(comparison))
    yield from (path for path in paths if path is not None)


def _body(comparison: Comparison) -> bytes:
    return comparison.request.body or b""


def _json(comparison: Comparison) -> Any:
    """The body's value, read by Python's own reader, with pairs for objects. Raises ValueError if it is no JSON."""
    return json.loads(_body(comparison).decode(), object_pairs_hook=_Pairs, parse_constant=float.fromhex)


class _Pairs(list[tuple[str, Any]]):
    """An object's members, as they are."""


def _walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, _Pairs):
        for _, inner in value:
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _members(comparison: Comparison) -> Iterator[tuple[str, Any]]:
    try:
        whole = _json(comparison)
    except ValueError:
        return
    for value in _walk(whole):
        if isinstance(value, _Pairs):
            yield from value


def _texts(comparison: Comparison) -> Iterator[str]:
    """All texts that a field's value may be of: segments, parameters, strings and keys of the body."""
    yield from (unquote_plus(segment.replace("+", "%2B")) for segment in _path(comparison).split("/"))
    yield from (value for _, _, value in _parameters(comparison))
    for key, value in _members(comparison):
        yield key
        yield from (each for each in _walk(value) if isinstance(each, str))


def _protobuf_reads(comparison: Comparison, *, ignore_unknown_fields: bool = False) -> bool:
    """Whether protobuf's own reader of JSON takes the body."""
    return any(_is_read(comparison, each.body, ignore_unknown_fields) for each in _bindings(comparison) if each.body)


def _is_read(comparison: Comparison, body: str, ignore_unknown_fields: bool) -> bool:  # noqa: FBT001 handed on
    text = _body(comparison).decode()
    if body != WHOLE:
        text = f'{{"{body}": {text}}}'
    try:
        json_format.Parse(
            text, GetMessageClass(_method(comparison).input_type)(), ignore_unknown_fields=ignore_unknown_fields
        )
    except (json_format.ParseError, ValueError):
        return False
    return True


# ---- the classes


def _has_response_body(comparison: Comparison) -> bool:
    return _path(comparison).startswith("/v1/answers/") and comparison.envoy.status == 404


def _is_at_no_method(comparison: Comparison) -> bool:
    return comparison.aura.status == 405 and comparison.envoy.status == 404


def _has_dot_segment(comparison: Comparison) -> bool:
    return any(unquote_to_bytes(each) in {b".", b".."} for each in _path(comparison).split("/"))


def _has_bad_escape(comparison: Comparison) -> bool:
    return re.search("%(?![0-9A-Fa-f]{2})", comparison.request.target) is not None


def _is_not_utf8(comparison: Comparison) -> bool:
    try:
        unquote_to_bytes(comparison.request.target).decode()
    except UnicodeDecodeError:
        return comparison.envoy.status == 500
    return False


def _is_bound_elsewhere(comparison: Comparison) -> bool:
    """A field of the path, or of the body, that is in the query too; or one of the path that is in the body."""
    for binding in _bindings(comparison):
        in_path = {variable.field_path for variable in binding.template.variables}
        for path in _fields_in_query(comparison):
            if _names(path) in in_path or path[0].name == binding.body:
                return True
        if any(variable[-1] == key for variable in in_path for key, _ in _members(comparison)):
            return comparison.aura.seen != comparison.envoy.seen
    return False


def _differs_in_mask(comparison: Comparison) -> bool:
    """Calls that are the same but for a mask that Aura made, because the request has none."""
    if any(_names(path)[0] == UPDATE_MASK for path in _fields_in_query(comparison)):
        return False
    kind = GetMessageClass(_method(comparison).input_type)
    if UPDATE_MASK not in kind.DESCRIPTOR.fields_by_name or comparison.request.verb not in {"PUT", "PATCH"}:
        return False
    made: Any = kind.FromString(comparison.aura.seen[0][1])
    made.ClearField(UPDATE_MASK)
    return bool(made == kind.FromString(comparison.envoy.seen[0][1]))


def _has_query_beside_body(comparison: Comparison) -> bool:
    return bool(_query(comparison)) and any(binding.body == WHOLE for binding in _bindings(comparison))


def _has_no_body_rule(comparison: Comparison) -> bool:
    return bool(_body(comparison)) and all(not binding.body for binding in _bindings(comparison))


def _is_empty_body(comparison: Comparison) -> bool:
    return not _body(comparison).strip() and any(binding.body not in {"", WHOLE} for binding in _bindings(comparison))


def _has_doubled_parameter(comparison: Comparison) -> bool:
    given = Counter(_names(path) for path in _fields_in_query(comparison) if not path[-1].is_repeated)
    return any(count > 1 for count in given.values())


def _has_message_parameter(comparison: Comparison) -> bool:
    """A parameter that leads through a list or map of messages, or is a message without a form as one value."""
    return any(
        any(each.message_type is not None and each.is_repeated for each in path[:-1])
        or (path[-1].message_type is not None and path[-1].message_type.name in {"Value", "ListValue", "Struct"})
        or any(each.message_type is not None and each.message_type.name == "Struct" for each in path)
        for path in _fields_in_query(comparison)
    )


def _has_nameless_parameter(comparison: Comparison) -> bool:
    return any(not name or not sign for name, sign, _ in _parameters(comparison))


def _excludes_another(comparison: Comparison) -> bool:
    """Members of one oneof."""
    taken: dict[tuple[str, ...], set[str]] = {}
    for path in _fields_in_query(comparison):
        for index, field in enumerate(path):
            if field.containing_oneof is not None:
                taken.setdefault((*_names(path[:index]), field.containing_oneof.name), set()).add(field.name)
    return any(len(members) > 1 for members in taken.values())


def _has_unknown_field(comparison: Comparison) -> bool:
    return not _protobuf_reads(comparison) and _protobuf_reads(comparison, ignore_unknown_fields=True)


def _is_no_json(comparison: Comparison) -> bool:
    if not _body(comparison):
        return False
    try:
        _json(comparison)
    except (ValueError, RecursionError):
        return True
    return False


def _has_doubled_name(comparison: Comparison) -> bool:
    try:
        objects = [value for value in _walk(_json(comparison)) if isinstance(value, _Pairs)]
    except ValueError:
        return False
    return any(len({_plain(name) for name, _ in members}) < len(members) for members in objects)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _is_of_another_type(comparison: Comparison) -> bool:
    return bool(_body(comparison)) and not _protobuf_reads(comparison)


_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LIKE_A_NUMBER = re.compile(r"\s*[+-]?(0[xX][0-9A-Fa-f.]+|[0-9]*\.?[0-9]*([eEpP][+-]?[0-9]+)?)\s*")


def _has_no_number_of_json(comparison: Comparison) -> bool:
    return any(
        text and _LIKE_A_NUMBER.fullmatch(text) and not _JSON_NUMBER.fullmatch(text) for text in _texts(comparison)
    )


def _has_quoted_number(comparison: Comparison) -> bool:
    """A number that JSON could have, of which Envoy reads the value only where it is not quoted."""
    return any(
        _JSON_NUMBER.fullmatch(text) and (re.search("[.eE]", text) or text == "-0") for text in _texts(comparison)
    )


def _has_quoted_enum_number(comparison: Comparison) -> bool:
    has_enum = re.search("genre|null_?value", _whole(comparison))
    return has_enum is not None and any(_JSON_NUMBER.fullmatch(text) for text in _texts(comparison))


def _whole(comparison: Comparison) -> str:
    """All of a request, in lower case."""
    return f"{comparison.request.target} {comparison.request.body!r}".lower()


def _has_inexact_number(comparison: Comparison) -> bool:
    """A whole number, beyond those that a float holds exactly, with a point or an exponent."""
    numbers = re.findall(r"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+", _whole(comparison))
    return any(2**53 < abs(float(number)) < 2**64 for number in numbers)


_BOOLS = frozenset({"1", "0", "t", "f", "y", "n", "yes", "no", "true", "false"})


def _has_other_bool(comparison: Comparison) -> bool:
    wrong = any(text.lower() in _BOOLS and text not in {"true", "false"} for text in _texts(comparison))
    return wrong and "bool" in _whole(comparison)


def _has_space_in_base64(comparison: Comparison) -> bool:
    return "byte" in _whole(comparison) and any(
        re.fullmatch(r"[A-Za-z0-9+/=_\s-]*\s[A-Za-z0-9+/=_\s-]*", text) for text in _texts(comparison)
    )


def _has_leap_second(comparison: Comparison) -> bool:
    return any(re.search(r"T\d\d:\d\d:60", text) for text in _texts(comparison))


_LOWER_CAMEL = r"[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*"
_FIELD_MASK = re.compile(f"({_LOWER_CAMEL}(,{_LOWER_CAMEL})*)?")


def _has_other_field_mask(comparison: Comparison) -> bool:
    """A mask with names of fields that are not in lower camel case, or are no names."""
    return any(not _FIELD_MASK.fullmatch(mask) for mask in _field_masks(comparison))


def _field_masks(comparison: Comparison) -> Iterator[str]:
    for name, _, value in _parameters(comparison):
        path = _field_path(comparison, name) or []
        if any(each.message_type is not None and each.message_type.name == "FieldMask" for each in path):
            yield value
    yield from (value for key, value in _members(comparison) if key == "mask" and isinstance(value, str))


def _differs_in_digits(comparison: Comparison) -> bool:
    same_call = comparison.aura.seen == comparison.envoy.seen
    return same_call and _rounded(comparison.aura.body) == _rounded(comparison.envoy.body)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return struct.unpack("f", struct.pack("f", min(max(value, -3.4028234e38), 3.4028234e38)))[0]
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def _differs_in_defaults(comparison: Comparison) -> bool:
    """Details of an error that are the same but for fields with their default value."""
    aura, envoy = comparison.aura, comparison.envoy
    return (
        (aura.status, aura.seen) == (envoy.status, envoy.seen)
        and aura.status >= 400
        and _without_defaults(aura.body) == _without_defaults(envoy.body)
    )


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _without_defaults(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in ("", 0, False, None, [], {})}
    return [_without_defaults(inner) for inner in value] if isinstance(value, list) else value


def _differs_in_any(comparison: Comparison) -> bool:
    """Calls that are the same message, serialised otherwise inside of an Any."""
    if comparison.aura.body != comparison.envoy.body:
        return False
    kind = GetMessageClass(_method(comparison).input_type)
    one, other = (kind.FromString(side.seen[0][1]) for side in (comparison.aura, comparison.envoy))
    return bool(json_format.MessageToDict(one) == json_format.MessageToDict(other))


EXPLAINED: tuple[Explained, ...] = (
    Explained(
        name="response-body",
        source=HTTP_PROTO,
        sentence="The name of the response field whose value is mapped to the HTTP response body.",
        calls=(AURA, NEITHER),
        applies=_has_response_body,
    ),
    Explained(
        name="method-not-allowed",
        source="RFC 9110, 15.5.6",
        sentence="The 405 (Method Not Allowed) status code indicates that the method received in the "
        "request-line is known by the origin server but not supported by the target resource.",
        calls=(NEITHER,),
        applies=_is_at_no_method,
    ),
    Explained(
        name="dot-segments",
        source="RFC 3986, 3.3",
        sentence='The path segments "." and "..", also known as dot-segments, are defined for relative '
        "reference within the path name hierarchy.",
        calls=(ENVOY, NEITHER),
        applies=_has_dot_segment,
    ),
    Explained(
        name="percent-encoding",
        source=HTTP_PROTO,
        sentence="all characters except `[-_.~0-9a-zA-Z]` are percent-encoded. The server side does the "
        "reverse decoding.",
        calls=(ENVOY,),
        applies=_has_bad_escape,
    ),
    Explained(
        name="utf-8",
        source="the proto3 language guide",
        sentence="A string must always contain UTF-8 encoded or 7-bit ASCII text",
        calls=(NEITHER,),
        applies=_is_not_utf8,
    ),
    Explained(
        name="bound-once",
        source=HTTP_PROTO,
        sentence="All other fields are passed via the URL query parameters, and the parameter name is the "
        "field path in the request message.",
        calls=(ENVOY, BOTH),
        applies=_is_bound_elsewhere,
    ),
    Explained(
        name="update-masks",
        source="google/protobuf/field_mask.proto",
        sentence='MUST treat an omitted field mask as "replace fields which are present".',
        calls=(BOTH,),
        applies=_differs_in_mask,
    ),
    Explained(
        name="no-query-beside-a-whole-body",
        source=HTTP_PROTO,
        sentence='If [HttpRule.body][google.api.HttpRule.body] is "*", there is no URL query parameter, all '
        "fields are passed via URL path and HTTP request body.",
        calls=(ENVOY,),
        applies=_has_query_beside_body,
    ),
    Explained(
        name="no-body-without-a-rule",
        source=HTTP_PROTO,
        sentence="If [HttpRule.body][google.api.HttpRule.body] is omitted, there is no HTTP request body, "
        "all fields are passed via URL path and URL query parameters.",
        calls=(ENVOY,),
        applies=_has_no_body_rule,
    ),
    Explained(
        name="empty-body",
        source=HTTP_PROTO,
        sentence="The name of the request field whose value is mapped to the HTTP request body",
        calls=(AURA, BOTH),
        applies=_is_empty_body,
    ),
    Explained(
        name="doubled-parameters",
        source=HTTP_PROTO,
        sentence="A repeated field can be represented as multiple query parameters under the same name.",
        calls=(ENVOY,),
        applies=_has_doubled_parameter,
    ),
    Explained(
        name="messages-in-the-query",
        source=HTTP_PROTO,
        sentence="Note that fields which are mapped to URL query parameters must have a primitive type or a "
        "repeated primitive type or a non-repeated message type.",
        calls=(ENVOY,),
        applies=_has_message_parameter,
    ),
    Explained(
        name="parameters-without-name-or-value",
        source=HTTP_PROTO,
        sentence="the parameter name is the field path in the request message",
        calls=(ENVOY, BOTH),
        applies=_has_nameless_parameter,
    ),
    Explained(
        name="unknown-fields",
        source=PROTO_JSON,
        sentence="Proto3 JSON parser should reject unknown fields by default but may provide an option to "
        "ignore unknown fields in parsing.",
        calls=(ENVOY,),
        applies=_has_unknown_field,
    ),
    Explained(
        name="no-json",
        source="RFC 8259, 9",
        sentence="A JSON parser MAY accept non-JSON forms or extensions.",
        calls=(ENVOY,),
        applies=_is_no_json,
    ),
    Explained(
        name="doubled-names",
        source="RFC 8259, 4",
        sentence="When the names within an object are not unique, the behavior of software that receives "
        "such an object is unpredictable.",
        calls=(ENVOY,),
        applies=_has_doubled_name,
    ),
    Explained(
        name="leap-seconds",
        source="google/protobuf/timestamp.proto",
        sentence="All minutes are 60 seconds long.",
        calls=(ENVOY,),
        applies=_has_leap_second,
    ),
    Explained(
        name="field-masks",
        source="google/protobuf/field_mask.proto",
        sentence="Fields name in each path are converted to/from lower-camel naming conventions.",
        calls=(ENVOY, BOTH),
        applies=_has_other_field_mask,
    ),
    Explained(
        name="numbers",
        source="RFC 8259, 6",
        sentence="Leading zeros are not allowed.",
        calls=(ENVOY,),
        applies=_has_no_number_of_json,
    ),
    Explained(
        name="booleans",
        source=PROTO_JSON,
        sentence="bool: true, false",
        calls=(ENVOY,),
        applies=_has_other_bool,
    ),
    Explained(
        name="spaces-in-base64",
        source="RFC 4648, 3.3",
        sentence="Implementations MUST reject the encoded data if it contains characters outside the base "
        "alphabet when interpreting base-encoded data",
        calls=(ENVOY,),
        applies=_has_space_in_base64,
    ),
    Explained(
        name="types",
        source=PROTO_JSON,
        sentence="The encoding is described on a type-by-type basis in the table below.",
        calls=(ENVOY,),
        applies=_is_of_another_type,
    ),
    Explained(
        name="quoted-numbers",
        source=PROTO_JSON,
        sentence="Either numbers or strings are accepted.",
        calls=(AURA,),
        applies=_has_quoted_number,
    ),
    Explained(
        name="numbers-of-enums",
        source=PROTO_JSON,
        sentence="Parsers accept both enum names and integer values.",
        calls=(AURA,),
        applies=_has_quoted_enum_number,
    ),
    Explained(
        name="exact-integers",
        source="RFC 8259, 6",
        sentence="numbers that are integers and are in the range [-(2**53)+1, (2**53)-1] are interoperable in the "
        "sense that implementations will agree exactly on their numeric values.",
        calls=(BOTH,),
        applies=_has_inexact_number,
    ),
    Explained(
        name="digits-of-floats",
        source=PROTO_JSON,
        sentence="JSON value will be a number",
        calls=(BOTH,),
        applies=_differs_in_digits,
    ),
    Explained(
        name="defaults-in-errors",
        source=PROTO_JSON,
        sentence="An implementation may provide options to emit fields with default values in the JSON-encoded output.",
        calls=(BOTH,),
        applies=_differs_in_defaults,
    ),
    Explained(
        name="bytes-of-any",
        source="the protobuf encoding guide",
        sentence="Do not assume the byte output of a serialized message is stable.",
        calls=(BOTH,),
        applies=_differs_in_any,
    ),
)
