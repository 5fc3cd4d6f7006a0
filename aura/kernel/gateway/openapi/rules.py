"""The rules that contracts have for fields (buf.validate), as keywords of JSON Schema, and else in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from aura.kernel.gateway.openapi.json_schema import Schema, admits, merged, with_patterns
from aura.kernel.gateway.openapi.well_known import (
    NATURAL_NUMBER_PATTERN,
    NOT_NEGATIVE_DURATION_PATTERN,
    scalar_schema,
)
from generated.buf.validate import validate_pb2
from generated.buf.validate.validate_pb2 import FieldRules

_FORMATS = {
    "email": "email",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "uri": "uri",
    "uri_ref": "uri-reference",
    "uuid": "uuid",
}
_PATTERNS = {"tuuid": "^[0-9a-fA-F]{32}$", "ulid": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"}
_IN_WORDS = {
    "address": "A host name or IP address.",
    "host_and_port": "A host and a port.",
    "ip": "An IP address.",
    "ip_prefix": "An IP prefix.",
    "ip_with_prefixlen": "An IP address with the length of its prefix.",
    "ipv4_prefix": "An IPv4 prefix.",
    "ipv4_with_prefixlen": "An IPv4 address with the length of its prefix.",
    "ipv6_prefix": "An IPv6 prefix.",
    "ipv6_with_prefixlen": "An IPv6 address with the length of its prefix.",
}
_WRITTEN_AS_TEXT = {"int64", "sint64", "sfixed64", "uint64", "fixed64"}
_NUMBERS = _WRITTEN_AS_TEXT | {"double", "float", "int32", "sint32", "sfixed32", "uint32", "fixed32"}
_BOUNDS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
_BOUNDS_IN_WORDS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}
_ONLY_IN_RE2 = re.compile(r"\(\?[imsU-]|\(\?P<|\\[AzQEpP]|\[\[:")
_CEL_MATCHES = re.compile(r"""(!?)this\.matches\((?:'((?:[^'\\]|\\[\\'"])*)'|"((?:[^"\\]|\\[\\'"])*)")\)""")
_CEL_ESCAPE = re.compile(r"\\(.)")


def rules_of(field: FieldDescriptor) -> FieldRules:
    """Returns the rules for a field; none where they are switched off."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return FieldRules() if rules.ignore == validate_pb2.IGNORE_ALWAYS else rules


def is_needed(field: FieldDescriptor, rules: FieldRules) -> bool:
    """Returns whether the rules refuse a message in which a field is not set."""
    if rules.required:
        return True
    if field.has_presence or rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
        return False
    return not admits(keywords_of(field, rules), _zero_of(field))


def keywords_of(field: FieldDescriptor, rules: FieldRules) -> Schema:
    """Returns what the rules ask of a field's value, or of the list or map that it is."""
    kind = rules.WhichOneof("type")
    patterns, refused = _cel_patterns(rules)
    asked = [with_patterns(patterns), *({"not": {"pattern": pattern}} for pattern in refused)]
    if kind in _NUMBERS:
        asked.append(_number(kind, getattr(rules, kind)))
    elif kind is not None and kind in _KEYWORDS:
        asked.append(_KEYWORDS[kind](getattr(rules, kind), field))
    return merged(*asked)


def words_of(rules: FieldRules) -> list[str]:
    """Returns sentences that say what JSON Schema cannot."""
    kind = rules.WhichOneof("type")
    said = [_sentence(rule.message) for rule in rules.cel if rule.message]
    if kind in {"duration", "timestamp"}:
        said += _times_in_words(getattr(rules, kind))
    elif kind in _WRITTEN_AS_TEXT:
        said += _bounds_in_words(getattr(rules, kind), str)
    elif kind == "string" and rules.string.WhichOneof("well_known") in _IN_WORDS:
        said.append(_IN_WORDS[rules.string.WhichOneof("well_known") or ""])
    return said


def examples_of(rules: FieldRules) -> list[Any]:
    """Returns the examples that a contract gives of text."""
    return list(rules.string.example) if rules.WhichOneof("type") == "string" else []


def _string(rules: validate_pb2.StringRules, _: FieldDescriptor) -> Schema:
    form = rules.WhichOneof("well_known") or ""
    patterns = [_PATTERNS[form]] if form in _PATTERNS else []
    if rules.pattern and not _ONLY_IN_RE2.search(rules.pattern):
        patterns.append(rules.pattern)
    patterns += [f"^{_quoted(rules.prefix)}"] if rules.prefix else []
    patterns += [f"{_quoted(rules.suffix)}$"] if rules.suffix else []
    patterns += [_quoted(rules.contains)] if rules.contains else []
    refused: Schema = {"not": {"pattern": _quoted(rules.not_contains)}} if rules.not_contains else {}
    lengths = _present(rules, {"min_len": "minLength", "max_len": "maxLength"})
    if rules.HasField("len"):
        lengths = {"minLength": rules.len, "maxLength": rules.len}
    elif rules.HasField("max_bytes") and not rules.HasField("max_len"):
        lengths["maxLength"] = rules.max_bytes  # a character takes a byte at least
    format_: Schema = {"format": _FORMATS[form]} if form in _FORMATS else {}
    return merged(lengths, format_, with_patterns(patterns), refused, _choice(rules))


def _bytes(rules: validate_pb2.BytesRules, _: FieldDescriptor) -> Schema:
    lengths = _present(rules, {"min_len": "minLength", "max_len": "maxLength"})
    if rules.HasField("len"):
        lengths = {"minLength": rules.len, "maxLength": rules.len}
    return {keyword: _base64_length(size, padded=keyword == "maxLength") for keyword, size in lengths.items()}


def _number(kind: str, rules: Any) -> Schema:
    if kind in _WRITTEN_AS_TEXT:
        return merged(_long_number(rules), _choice(rules, str))
    bounds = {} if _is_outside(rules) else _present(rules, _BOUNDS)
    return merged(bounds, _choice(rules))


def _long_number(rules: Any) -> Schema:
    if _is_outside(rules):
        return {}
    if (rules.HasField("gt") and rules.gt >= 0) or (rules.HasField("gte") and rules.gte > 0):
        return {"pattern": "^[1-9][0-9]{0,19}$"}
    if rules.HasField("gte") and rules.gte == 0:
        return {"pattern": NATURAL_NUMBER_PATTERN}
    return {}


def _bool(rules: validate_pb2.BoolRules, _: FieldDescriptor) -> Schema:
    return _present(rules, {"const": "const"})


def _enum(rules: validate_pb2.EnumRules, field: FieldDescriptor) -> Schema:
    assert field.enum_type is not None
    names: Mapping[int, Any] = field.enum_type.values_by_number
    return _choice(rules, lambda number: names[number].name if number in names else number)


def _repeated(rules: validate_pb2.RepeatedRules, _: FieldDescriptor) -> Schema:
    unique: Schema = {"uniqueItems": True} if rules.unique else {}
    return _present(rules, {"min_items": "minItems", "max_items": "maxItems"}) | unique


def _map(rules: validate_pb2.MapRules, _: FieldDescriptor) -> Schema:
    return _present(rules, {"min_pairs": "minProperties", "max_pairs": "maxProperties"})


def _any(rules: validate_pb2.AnyRules, _: FieldDescriptor) -> Schema:
    choice = _choice(rules)
    return {"properties": {"@type": choice}} if choice else {}


def _duration(rules: validate_pb2.DurationRules, _: FieldDescriptor) -> Schema:
    lowest = rules.gte if rules.HasField("gte") else rules.gt
    is_bounded = rules.HasField("gte") or rules.HasField("gt")
    if is_bounded and lowest.seconds >= 0 and lowest.nanos >= 0 and not _is_outside(rules):
        return {"pattern": NOT_NEGATIVE_DURATION_PATTERN}
    return {}


_KEYWORDS: Mapping[str, Callable[[Any, FieldDescriptor], Schema]] = {
    "string": _string,
    "bytes": _bytes,
    "bool": _bool,
    "enum": _enum,
    "repeated": _repeated,
    "map": _map,
    "any": _any,
    "duration": _duration,
}


def _present(rules: Any, keywords: Mapping[str, str]) -> Schema:
    return {keyword: getattr(rules, name) for name, keyword in keywords.items() if rules.HasField(name)}


def _choice(rules: Any, shown: Callable[[Any], Any] = lambda value: value) -> Schema:
    """Returns the keywords of the rules const, in and not_in."""
    chosen: list[Schema] = []
    if "const" in rules.DESCRIPTOR.fields_by_name and rules.HasField("const"):
        chosen.append({"const": shown(rules.const)})
    if some := list(getattr(rules, "in")):
        chosen.append({"enum": [shown(value) for value in some]})
    if refused := list(rules.not_in):
        chosen.append({"not": {"enum": [shown(value) for value in refused]}})
    return merged(*chosen)


def _is_outside(rules: Any) -> bool:
    """Returns whether the bounds are the wrong way round, which asks for what is outside of them."""
    lowest, highest = (rules.WhichOneof(name) for name in ("greater_than", "less_than"))
    return bool(lowest and highest and _amount(getattr(rules, lowest)) > _amount(getattr(rules, highest)))


def _amount(value: Any) -> Any:
    return (value.seconds, value.nanos) if hasattr(value, "seconds") else value


def _times_in_words(rules: Any) -> Iterator[str]:
    yield from _bounds_in_words(rules, lambda value: str(value.ToJsonString()))
    if isinstance(rules, validate_pb2.TimestampRules):
        if rules.lt_now:
            yield "In the past."
        if rules.gt_now:
            yield "In the future."
        if rules.HasField("within"):
            yield f"At most {rules.within.ToJsonString()} from now."


def _bounds_in_words(rules: Any, shown: Callable[[Any], str]) -> Iterator[str]:
    bounds = {words: getattr(rules, name) for name, words in _BOUNDS_IN_WORDS.items() if rules.HasField(name)}
    said = [f"{words} {shown(value)}" for words, value in bounds.items()]
    if said:
        yield _sentence((" or " if _is_outside(rules) else " and ").join(said))


def _cel_patterns(rules: FieldRules) -> tuple[list[str], list[str]]:
    """Returns the patterns that expressions ask for, and those that they refuse."""
    asked: list[str] = []
    refused: list[str] = []
    for expression in _expressions(rules):
        found = _CEL_MATCHES.fullmatch(expression.strip())
        pattern = _CEL_ESCAPE.sub(r"\1", found[2] or found[3] or "") if found else ""
        if found and not _ONLY_IN_RE2.search(pattern):
            (refused if found[1] else asked).append(pattern)
    return asked, refused


def _expressions(rules: FieldRules) -> Iterable[str]:
    return [*rules.cel_expression, *(rule.expression for rule in rules.cel)]


def _quoted(text: str) -> str:
    return re.sub(r"[\\^$.|?*+()\[\]{}/]", lambda letter: f"\\{letter[0]}", text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _base64_length(size: int, *, padded: bool) -> int:
    return -(-size // 3) * 4 if padded else -(-size * 4 // 3)


def _zero_of(field: FieldDescriptor) -> Any:
    """Returns the JSON of a field without presence that is not set."""
    if field.is_repeated:
        return {} if field.message_type is not None and field.message_type.GetOptions().map_entry else []
    if field.enum_type is not None:
        return field.enum_type.values[0].name
    kind = scalar_schema(field.type)
    return {"boolean": False, "string": "0" if kind.get("format") else ""}.get(kind["type"], 0)
