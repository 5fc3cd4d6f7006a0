"""Calls methods over HTTP: the reverse of what the gateway does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from google.protobuf import descriptor_pool, json_format

from aura.kernel.gateway.bindings import WHOLE, Binding, bindings_of
from aura.kernel.gateway.templates import ANY_SEGMENT, ANY_SEGMENTS
from tests.gateway.client import Answer


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    verb: str
    target: str
    body: bytes | None


@cache
def bindings_of_method(method: str) -> tuple[Binding, ...]:
    """The bindings of a method, as `aura.users.v1.UserService/GetUser`."""
    service, _, name = method.partition("/")
    described = descriptor_pool.Default().FindServiceByName(service)
    return tuple(binding for binding in bindings_of([described]) if binding.method.name == name)


def http_request_of(binding: Binding, message: Any) -> HttpRequest:
    """The HTTP request that has a message for its request."""
    fields = json_format.MessageToDict(message)
    path = _path(binding, fields)
    body = None
    if binding.body == WHOLE:
        body, fields = fields, {}
    elif binding.body:
        body = fields.pop(message.DESCRIPTOR.fields_by_name[binding.body].json_name, {})
    query = urlencode([*_flat(fields, "")])
    return HttpRequest(
        verb=binding.verb,
        target=f"{path}?{query}" if query else path,
        body=None if body is None else json.dumps(body).encode(),
    )


def _path(binding: Binding, fields: dict[str, Any]) -> str:
    """The path, whose variables are taken out of the fields."""
    segments = list(binding.template.segments)
    for variable in reversed(binding.template.variables):
        end = len(segments) if variable.end is None else variable.end
        value = quote(str(_taken(fields, variable.field_path)), safe="/" if variable.many else "")
        segments[variable.start : end] = [value]
    verb = f":{binding.template.verb}" if binding.template.verb else ""
    return "/" + "/".join("x" if each in {ANY_SEGMENT, ANY_SEGMENTS} else each for each in segments) + verb


def _taken(fields: dict[str, Any], path: tuple[str, ...]) -> Any:
    first, *rest = [_camel(name) for name in path]
    if not rest:
        return fields.pop(first, "")
    inner: Any = fields.get(first, {})
    for name in rest[:-1]:
        inner = inner.get(name, {})
    return inner.pop(rest[-1], "")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for item in value:
            yield from _flat(item, name)
    else:
        yield name, str(value).lower() if isinstance(value, bool) else value


async def ask(
    url: str, request: HttpRequest, headers: Mapping[str, str] | None = None, *, seconds: float = 20.0
) -> Answer:
    """Sends a request on a connection of its own; returns the answer, or what has come of it when the time is up."""
    place = urlsplit(url)
    given = {"host": place.netloc, "connection": "close", **(headers or {})}
    if request.body is not None:
        given = {"content-type": "application/json", "content-length": str(len(request.body))} | given
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    received = b""
    try:
        writer.write(f"{request.verb} {request.target} HTTP/1.1\r\n{head}\r\n".encode() + (request.body or b""))
        async with asyncio.timeout(seconds):
            while part := await reader.read(65536):
                received += part
    except TimeoutError:
        pass
    finally:
        writer.close()
    return parsed(received)


def parsed(received: bytes) -> Answer:
    """An answer out of the bytes of it."""
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return Answer()
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Answer(status=int(first.split(" ")[1]), headers=headers, body=body)
