"""Structured logs: for people in development, for machines elsewhere."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from google.protobuf.message import Message

from aura.kernel.interceptors.call import current_call
from aura.kernel.redaction import redacted

Event = MutableMapping[str, Any]
PLAIN_TYPES = {str, int, float, bool, type(None)}


def configure_logging(*, level: str, style: Literal["console", "json"], process: str) -> None:
    """Sets up structlog for this process; call it once, first."""
    render: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if style == "console"
        else [_describe_exception, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_context(process),
            _redact_messages,
            *render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _add_context(process: str) -> Any:
    """Adds what every line of a call shares, wherever in the call it is written."""

    def add(_: Any, __: str, event: Event) -> Event:
        call = current_call.get()
        if call is not None:
            event["request_id"] = call.request_id
            if call.trace is not None:
                event["trace_id"] = call.trace.trace_id
        event["process"] = process
        return event

    return add


def _redact_messages(_: Any, __: str, event: Event) -> Event:
    for key, value in event.items():
        if type(value) not in PLAIN_TYPES:
            event[key] = _redacted(value)
    return event


def _redacted(value: Any) -> Any:
    if isinstance(value, Message):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_redacted, value))
    return value


def _describe_exception(_: Any, __: str, event: Event) -> Event:
    """Keeps of an exception its class and its frames: its text may hold what a patient wrote."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = [_describe(cause) for cause in _causes(error)]
    return event


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
