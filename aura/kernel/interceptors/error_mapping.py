"""Turns whatever a handler raised into something a caller may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import Message

from aura.kernel.database import as_aura_error
from aura.kernel.errors import AuraError, FieldViolation, Internal, InvalidRequest
from aura.kernel.interceptors.chain import Interceptor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aura.kernel.interceptors.call import Call

log = structlog.get_logger()


class ErrorMapping(Interceptor):
    """Lets our own errors pass, knows the database's, and hides all others behind a constant text."""

    def on_error(self, call: Call, error: Exception) -> Exception:
        """Returns an `AuraError`; logs the cause of what the caller is not told."""
        if isinstance(error, AuraError):
            return error
        known = as_aura_error(error)
        if known is not None:
            log.warning("call failed on the database", method=call.method.path, cause=type(error).__name__)
            return _naming_fields(known, call) if isinstance(known, InvalidRequest) else known
        log.error("call failed unexpectedly", method=call.method.path, exc_info=error)
        return Internal("something went wrong on our side; the request id finds it in the log", reason="INTERNAL")


def _naming_fields(refusal: InvalidRequest, call: Call) -> InvalidRequest:
    """Names the fields that the database refused: those that hold U+0000."""
    description = refusal.violations[0].description
    paths = list(_texts_with_nul(call.request, "")) if call.request is not None else []
    return InvalidRequest(*(FieldViolation(field=path, description=description) for path in paths or [""]))


def _texts_with_nul(message: Message, prefix: str) -> Iterator[str]:
    for field, value in message.ListFields():
        for item in value if field.is_repeated else [value]:
            if isinstance(item, Message):
                yield from _texts_with_nul(item, f"{prefix}{field.name}.")
            elif isinstance(item, str) and "\0" in item:
                yield f"{prefix}{field.name}"
