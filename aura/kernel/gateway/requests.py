"""Makes a method's request of the path, the query and the body of an HTTP request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from aura.kernel.gateway.bindings import SCALAR_MESSAGES, WHOLE, Binding, field_at
from aura.kernel.gateway.json_reader import DEEPEST, BodyReader, is_plain, message_reader, require_writable
from aura.kernel.gateway.masks import UpdateMask
from aura.kernel.gateway.refusals import BadRequest
from aura.kernel.gateway.templates import Variable
from aura.kernel.gateway.values import Unreadable, nearest, shown, text_reader_of

MOST_PARAMETERS = 1000
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile("%2f", re.IGNORECASE)

TextReader = Callable[[str, Message], None]
"""Sets a field of the message that has it from text; appends if it is a list."""


class RequestReader:
    """Reads the requests of one binding.

    http.proto sorts the fields of a request: those in the path, those in the body, and all others, which are in the
    query. Where the body is the whole request, there is no query.
    """

    def __init__(self, binding: Binding) -> None:
        self._message = binding.method.input_type
        self._new = GetMessageClass(self._message)
        self._body = BodyReader(self._message, binding.body) if binding.body else None
        self._body_field = "" if binding.body == WHOLE else binding.body
        self._takes_query = binding.body != WHOLE
        self._variables = [(variable, _Target(self._message, variable.field_path)) for variable in _in(binding)]
        self._in_path = {variable.field_path for variable in _in(binding)}
        self._targets: dict[str, _Target] = {}
        self._mask = UpdateMask(binding)

    @property
    def takes_body(self) -> bool:
        """Whether there is something in the body."""
        return self._body is not None

    def read(self, segments: Sequence[str], query: str, body: bytes) -> Message:
        """Returns the request.

        Args:
            segments: the path's segments, percent-encoded.
            query: what is behind the `?`, percent-encoded.
            body: the body.

        Raises:
            BadRequest: It cannot be made of these.
        """
        message: Message = self._new()
        value = self._read_body(body, message)
        if query:
            self._read_query(query, message)
        self._mask.fill(message, value)
        for variable, target in self._variables:
            target.set(_value_of(variable, segments), message)
        return message

    def _read_body(self, body: bytes, message: Message) -> object:
        if self._body is None:
            if body:
                raise BadRequest("this method takes no body: send its fields in the path and in the query")
            return None
        return self._body.read(body, message) if body else None

    def _read_query(self, query: str, message: Message) -> None:
        if not self._takes_query:
            raise BadRequest(f"{_name_of(query)} is in the query; this method takes its fields in the body")
        given = {choice: member for _, target in self._variables for choice, member in target.choices}
        for name, text in _parameters(query):
            target = self._target(name)
            _require_room(target, given)
            target.set(text, message)

    def _target(self, name: str) -> _Target:
        target = self._targets.get(name)
        if target is None:
            target = _Target(self._message, self._field_path(name))
            if target.path[0] == self._body_field:
                raise BadRequest(f"{name} belongs into the body, not into the query", field=target.name)
            if target.path in self._in_path:
                raise BadRequest(f"{name} is in the path already; leave it out of the query", field=target.name)
            if len(self._targets) < MOST_PARAMETERS:
                self._targets[name] = target
        return target

    def _field_path(self, name: str) -> tuple[str, ...]:
        """Returns the field that a parameter's name means, each part as in the contract or as in JSON."""
        if name.count(".") > DEEPEST:
            raise BadRequest("a parameter in the query is nested too deeply")
        path: list[str] = []
        inside: Descriptor | None = self._message
        for part in name.split("."):
            found = None if inside is None else _find(inside, part)
            if found is None:
                fix = nearest(part, inside.fields_by_camelcase_name) if inside is not None else ""
                text = f"{shown(name)} in the query is no field of {self._message.name}{fix}"
                raise BadRequest(text, field=shown(name))
            path.append(found.name)
            inside = None if found.is_repeated else found.message_type
        return tuple(path)


class _Target:
    """A field of a request, at any depth, that can be set from text."""

    def __init__(self, message: Descriptor, path: tuple[str, ...]) -> None:
        self.path = path
        self.name = ".".join(path)
        field = field_at(message, path)
        assert field is not None
        self._parents = path[:-1]
        self._parent = (field_at(message, path[:-1]) or field).message_type if path[:-1] else None
        self.repeated = bool(field.is_repeated)
        self.choices = tuple(_choices(message, path))
        self._set = self._reader(field)

    def set(self, text: str, message: Any) -> None:
        """Sets the field from text. Raises BadRequest."""
        for name in self._parents:
            message = getattr(message, name)
            message.SetInParent()
        try:
            self._set(text, message)
            if self._parent is not None and not is_plain(self._parent):
                require_writable(message)
        except Unreadable as error:
            raise BadRequest(f"{self.name} {error.problem}", field=self.name) from None

    def _reader(self, field: FieldDescriptor) -> TextReader:
        name = field.name
        if field.message_type is None:
            read = text_reader_of(field)
            if field.is_repeated:
                return lambda text, message: getattr(message, name).append(read(text))
            return lambda text, message: setattr(message, name, read(text))
        if field.message_type.full_name not in SCALAR_MESSAGES or field.message_type.GetOptions().map_entry:
            raise BadRequest(
                f"{self.name} in the query is a message; give its fields, as {self.name}.…", field=self.name
            )
        return self._message_reader(field, field.message_type)

    def _message_reader(self, field: FieldDescriptor, kind: Descriptor) -> TextReader:
        name = field.name
        value = kind.fields_by_name.get("value")
        if value is not None:  # a wrapper
            read = text_reader_of(value)

            def set_wrapped(text: str, message: Any) -> None:
                inner = getattr(message, name)
                inner = inner.add() if field.is_repeated else inner
                inner.value = read(text)

            return set_wrapped
        read_into = message_reader(kind)

        def set_message(text: str, message: Any) -> None:
            inner = getattr(message, name)
            inner = inner.add() if field.is_repeated else inner
            if not field.is_repeated:
                inner.SetInParent()
            read_into(text, inner, 0)

        return set_message


def _in(binding: Binding) -> Sequence[Variable]:
    return binding.template.variables


def _find(message: Descriptor, name: str) -> FieldDescriptor | None:
    found = message.fields_by_name.get(name) or message.fields_by_camelcase_name.get(name)
    return found or next((field for field in message.fields if field.json_name == name), None)


def _require_room(target: _Target, given: dict[str, str]) -> None:
    """Notes a field among those that are given. Raises BadRequest if it is there, or excluded by one that is."""
    if not target.repeated and target.name in given:
        raise BadRequest(f"{target.name} is given twice in the query", field=target.name)
    given[target.name] = target.name
    for choice, member in target.choices:
        if given.setdefault(choice, member) != member:
            raise BadRequest(f"{target.name} excludes others that are given", field=target.name)


def _choices(message: Descriptor, path: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields the oneofs, of several members, that a field or one that leads to it is in, each with that member."""
    for end in range(1, len(path) + 1):
        field = field_at(message, path[:end])
        assert field is not None
        choice = field.containing_oneof
        if choice is not None and len(choice.fields) > 1:
            yield ".".join((*path[: end - 1], f"({choice.name})")), field.name


def _parameters(query: str) -> Iterator[tuple[str, str]]:
    parts = query.split("&", MOST_PARAMETERS)
    if len(parts) > MOST_PARAMETERS:
        raise BadRequest(f"the query may have at most {MOST_PARAMETERS} parameters")
    for part in parts:
        if part:
            name, _, value = part.partition("=")
            yield decoded(name.replace("+", " ")), decoded(value.replace("+", " "))


def _name_of(query: str) -> str:
    name = query.partition("=")[0]
    return name if re.fullmatch(r"[\w.]{1,64}", name, re.ASCII) else "something"


def _value_of(variable: Variable, segments: Sequence[str]) -> str:
    if not variable.many:
        return decoded(segments[variable.start])
    raw = "/".join(segments[variable.start : variable.end])
    # http.proto: in variables of several segments "%2F" and "%2f" are left as they are
    return "".join(part if _SLASH.fullmatch(part) else decoded(part) for part in re.split("(%2[fF])", raw))


def decoded(text: str) -> str:
    """Returns a part of a path or query without its percent-encoding (RFC 3986).

    Raises:
        BadRequest: It has an escape that is none, or is not UTF-8.
    """
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        raise BadRequest("a % in path or query must be followed by two hexadecimal digits; write it as %25")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise BadRequest("path and query must be UTF-8 behind their percent-encoding") from None
