"""Structured logs: for people in development, for machines elsewhere."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from google.protobuf.message import Message

from aura.kernel.interceptors.call import current_call
from aura.kernel.redaction import redacted

Event = MutableMapping[str, Any]
_encode = json.JSONEncoder(default=repr).encode
PLAIN_TYPES = {str, int, float, bool, type(None)}


def configure_logging(*, level: str, style: Literal["console", "json"], process: str) -> None:
    """Sets up structlog for this process; call it once, first."""
    render: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if style == "console"
        else _render_json
    )
    structlog.configure(
        processors=[_complete(process), render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _complete(process: str) -> Any:
    """Adds what every line has, and what every line of a call shares, wherever in the call it is written.

    It is one processor that does the work of several, for every call has a line.
    """

    def complete(_: Any, level: str, event: Event) -> Event:
        event["level"] = level
        event["timestamp"] = f"{datetime.now(UTC).replace(tzinfo=None).isoformat()}Z"
        call = current_call.get()
        if call is not None:
            event["request_id"] = call.request_id
            if call.trace is not None:
                event["trace_id"] = call.trace.trace_id
        event["process"] = process
        for key, value in event.items():
            if type(value) not in PLAIN_TYPES:
                event[key] = _redacted(value)
        return event

    return complete


def _redacted(value: Any) -> Any:
    if isinstance(value, Message):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_redacted, value))
    return value


def _render_json(_: Any, __: str, event: Event) -> str:
    """Keeps of an exception its class and its frames: its text may hold what a patient wrote."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = [_describe(cause) for cause in _causes(error)]
    return _encode(event)


def _describe(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
