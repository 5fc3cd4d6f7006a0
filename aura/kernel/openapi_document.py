"""The OpenAPI document of the platform's REST interface."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata, resources
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from aura.kernel.access_table import platform_services
from aura.kernel.contracts import access_of, describe
from aura.kernel.gateway.bindings import bindings_of
from aura.kernel.module import ModuleSpec
from generated.aura.options.v1 import access_pb2

TITLE = "Aura"
DESCRIPTION = """
The REST interface of Aura, a mental-health platform.

- Log in with `POST /api/auth/login`, and send the access token that it gives with every other call, in the header
  `Authorization`, behind `Bearer `.
- Every path may have a slash at its end, or not.
- Names in JSON are in lowerCamelCase; names as in the contracts, in snake_case, are read too. Fields that have no value
  yet, as the end of a session that has not ended, are left out of answers; texts, numbers, booleans and lists are there
  even when empty. Whole numbers of 64 bits are in strings.
- An error has the form `google.rpc.Status`. Programs should look at `reason` in its detail `google.rpc.ErrorInfo`.
- Lists come page by page: send `nextPageToken` as `pageToken` for the next one, with everything else as it was.
- Clients should not be disturbed by fields, values and details of errors that they do not know: there will be more.
""".strip()
FROM_OUTSIDE = {access_pb2.EXTERNAL_PUBLIC, access_pb2.EXTERNAL_AUTHENTICATED, access_pb2.EXTERNAL_RESTRICTED}


def platform_openapi(specs: Mapping[str, ModuleSpec]) -> dict[str, Any]:
    """Returns the OpenAPI document of all that can be called from outside, whichever process hosts it."""
    from aura.kernel.gateway.openapi import openapi_document  # noqa: PLC0415 most processes are never asked for it

    services = [describe(service) for service in platform_services(specs)]
    return openapi_document(
        [binding for binding in bindings_of(services) if access_of(binding.path).external in FROM_OUTSIDE],
        title=TITLE,
        version=metadata.version("aura"),
        description=DESCRIPTION,
        comments=contract_comments(),
        needs_token=_needs_token,
    )


def contract_comments() -> dict[str, str]:
    """Returns what the contracts say of all that they define, by full names."""
    comments: dict[str, str] = json.loads(resources.files("generated").joinpath("comments.json").read_text("utf-8"))
    return comments


def _needs_token(method: MethodDescriptor) -> bool:
    path = f"/{method.containing_service.full_name}/{method.name}"
    return access_of(path).external != access_pb2.EXTERNAL_PUBLIC
