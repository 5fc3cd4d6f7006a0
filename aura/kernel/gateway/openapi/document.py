"""The document as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from google.protobuf.descriptor import MethodDescriptor

from aura.kernel.gateway.bindings import Binding
from aura.kernel.gateway.openapi.errors import add_error_schemas, error_responses
from aura.kernel.gateway.openapi.json_schema import Schema
from aura.kernel.gateway.openapi.operations import BEARER, Operations
from aura.kernel.gateway.openapi.paths import Paths, verbs_of
from aura.kernel.gateway.openapi.schemas import Schemas, Usage
from aura.kernel.gateway.openapi.texts import Texts, described

OPENAPI_VERSION = "3.1.0"
SECURITY_SCHEMES: Mapping[str, Schema] = {
    BEARER: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token, in the header `Authorization`, behind `Bearer `.",
    }
}
HEADERS: Mapping[str, Schema] = {
    "ETag": {
        "description": 'The version of the resource, as `"3"`, for `If-Match` and `If-None-Match`.',
        "schema": {"type": "string"},
    },
    "Retry-After": {
        "description": "After how many seconds to try again, where that can be said.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "How to prove who one is.", "schema": {"type": "string"}},
    "X-Request-Id": {
        "description": "Identifies the call, in the logs and audit trails too.",
        "schema": {"type": "string"},
    },
}


def openapi_document(
    bindings: Iterable[Binding],
    *,
    title: str,
    version: str,
    description: str,
    comments: Mapping[str, str],
    needs_token: Callable[[MethodDescriptor], bool],
    servers: Sequence[str] = (),
) -> Schema:
    """Returns the OpenAPI document of some bindings.

    Args:
        bindings: what to describe, in the order of the document.
        title: what the interface is called.
        version: its version.
        description: what it is, in Markdown.
        comments: what the contracts say of services, methods, messages, fields, enums and their values, by full names.
        needs_token: tells whether a method is for those only who send an access token.
        servers: URLs at which it is served; none: where the document is.
    """
    bindings, texts = list(bindings), Texts(comments)
    schemas = Schemas(texts)
    for binding in bindings:  # first, so that the plain names are those of what is answered
        schemas.of_message(binding.method.output_type, Usage.RESPONSE)
    add_error_schemas(schemas)
    paths = _paths(bindings, Operations(schemas, texts), needs_token)
    document: Schema = {
        "openapi": OPENAPI_VERSION,
        "info": {"title": title, "version": version, **described(description)},
        "tags": _tags(bindings, texts),
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": error_responses(),
            "headers": dict(HEADERS),
            "securitySchemes": dict(SECURITY_SCHEMES),
        },
    }
    if servers:
        document["servers"] = [{"url": url} for url in servers]
    return document


def _paths(
    bindings: Iterable[Binding], operations: Operations, needs_token: Callable[[MethodDescriptor], bool]
) -> Schema:
    paths, named, used = Paths(), dict[str, Schema](), Counter[str]()
    for binding in bindings:
        path = paths.of(binding.template)
        for verb in verbs_of(binding):
            operation_id = _operation_id(binding.method, used)
            operation = operations.of(binding, operation_id, path.names, needs_token=needs_token(binding.method))
            named.setdefault(path.text, {})[verb] = operation
    return named


def _operation_id(method: MethodDescriptor, used: Counter[str]) -> str:
    """Returns the name of an operation: with its service's, for several services may have a method of one name."""
    name = f"{method.containing_service.name}_{method.name}"
    used[name] += 1
    return name if used[name] == 1 else f"{name}_{used[name]}"


def _tags(bindings: Iterable[Binding], texts: Texts) -> list[Schema]:
    services = {binding.method.containing_service.name: binding.method.containing_service for binding in bindings}
    return [{"name": name} | described(texts.of(service)) for name, service in services.items()]
