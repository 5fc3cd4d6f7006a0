from __future__ import annotations

import asyncio
import io
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf import struct_pb2, timestamp_pb2
from google.protobuf.wrappers_pb2 import StringValue

from aura.kernel.errors import NotFound
from aura.kernel.interceptors.access_log import AccessLog
from aura.kernel.interceptors.chain import InterceptorChain
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.identity import CALLER_MODULE, CALLER_USER
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.logging import configure_logging
from aura.kernel.redaction import redacted
from generated.aura.mentalhealth.v1.therapy_session_service_pb2 import (
    CancelTherapySessionRequest,
    ScheduleTherapySessionRequest,
)
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import BatchGetUsersResponse, CreateUserRequest
from tests.support.services import TRANSPORTS, Outcome, caller_identity, handlers, serving

SECRETS = ("ada@example.com", "Ada Lovelace", "+4930901820", "she cannot sleep")
PROFILE = {"email": SECRETS[0], "display_name": SECRETS[1], "phone_number": SECRETS[2], "roles": [ROLE_PATIENT]}

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def output() -> io.StringIO:
    """What is written to stderr once logging is configured."""
    return io.StringIO()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, output: io.StringIO) -> Iterator[Callable[..., None]]:
    """Configures logging; afterwards it is as it was."""

    def configure(*, level: str = "info", style: str = "json") -> None:
        monkeypatch.setattr(sys, "stderr", output)
        configure_logging(level=level, style=style, process="probe")
        structlog.configure(cache_logger_on_first_use=False)  # or the loggers of other tests would keep this stream

    yield configure
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(configure: Callable[..., None], output: io.StringIO) -> Lines:
    """Configures logging for machines, and returns what reads the lines written since."""
    configure(level="debug")
    return lambda: [json.loads(line) for line in output.getvalue().splitlines()]


@asynccontextmanager
async def call(transport: str, body: Any, request: Any, **options: Any) -> AsyncIterator[Outcome]:
    chain = InterceptorChain([RequestIds(), AccessLog(), ErrorMapping(), caller_identity()])
    async with serving(transport, handlers(body, type(request)), interceptors=[chain], **options) as served:
        yield await served.call("unary_unary", [request], metadata=[("x-request-id", "mine-1")])


async def succeed(_: object, __: object) -> AsyncIterator[Any]:
    yield StringValue()


def failing(error: Exception) -> Any:
    async def fail(_: object, __: object) -> AsyncIterator[Any]:
        raise error
        yield

    return fail


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_calls_line_has_every_field(transport: str, lines: Lines):
    async with call(transport, succeed, StringValue()):
        pass

    line = lines()[0]
    assert line.pop("timestamp").endswith("Z")
    assert 0 <= line.pop("duration_ms") < 10_000
    assert line == {
        "event": "call",
        "method": "/aura.test.v1.ProbeService/unary_unary",
        "code": "OK",
        "request_id": "mine-1",
        "user_id": "anonymous",
        "caller_module": None,
        "process": "probe",
        "level": "info",
    }


async def test_a_calls_line_names_the_calling_module_and_user(lines: Lines):
    def bound() -> dict[str, list[bytes]]:
        return {CALLER_MODULE: [b"billing"], CALLER_USER: [b"7"]}

    async with call("in_process", succeed, StringValue(), auth_context=bound):
        pass

    assert (lines()[0]["caller_module"], lines()[0]["user_id"]) == ("billing", "7")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_refused_calls_line_has_its_code_and_reason(transport: str, lines: Lines):
    async with call(transport, failing(NotFound("x", reason="GONE")), StringValue()):
        pass

    line = lines()[0]
    assert (line["code"], line["reason"], line["level"]) == ("NOT_FOUND", "GONE", "info")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_at_debug_level_the_request_is_shown_without_what_is_sensitive(
    transport: str, lines: Lines, output: io.StringIO
):
    async with call(transport, succeed, CreateUserRequest(user=User(**PROFILE, time_zone="UTC"), request_id="r")):
        pass

    (line,) = [line for line in lines() if line["event"] == "request"]
    assert line["request"] == {
        "user": {
            "email": "[PII]",
            "display_name": "[PII]",
            "phone_number": "[PII]",
            "roles": [ROLE_PATIENT],
            "time_zone": "UTC",
        },
        "request_id": "r",
    }
    assert [secret for secret in SECRETS if secret in output.getvalue()] == []


async def test_at_info_level_no_request_is_shown(configure: Callable[..., None], output: io.StringIO):
    configure(level="info")

    async with call("in_process", succeed, CreateUserRequest(user=User(**PROFILE))):
        pass

    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == ["call"]


def patients_request() -> ScheduleTherapySessionRequest:
    return ScheduleTherapySessionRequest(
        therapist_id="therapist-1", patient_id="patient-1", start_time=timestamp_pb2.Timestamp(seconds=1)
    )


def test_health_information_is_marked_as_such():
    shown = redacted(patients_request())

    assert shown == {
        "therapist_id": "therapist-1",
        "patient_id": "[PHI]",
        "start_time": "1970-01-01T00:00:01Z",
    }
    assert redacted(CancelTherapySessionRequest(reason=SECRETS[3])) == {"reason": "[PHI]"}


def test_messages_in_messages_are_redacted():
    shown = redacted(BatchGetUsersResponse(users=[User(**PROFILE), User(user_id="7")]))

    assert [secret for secret in SECRETS if secret in str(shown)] == []
    assert shown["users"][1] == {"user_id": "7"}


def test_maps_are_shown():
    assert redacted(struct_pb2.Struct(fields={"a": struct_pb2.Value(string_value="b")})) == {
        "fields": {"a": {"string_value": "b"}}
    }


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize("wrap", [lambda user: user, lambda user: [user], lambda user: {"who": [user]}])
def test_no_message_is_written_unredacted(
    configure: Callable[..., None], output: io.StringIO, style: str, wrap: Callable[[User], Any]
):
    configure(style=style)

    structlog.get_logger().info("seen", user=wrap(User(**PROFILE, user_id="7")))

    assert "seen" in output.getvalue()
    assert [secret for secret in SECRETS if secret in output.getvalue()] == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_of_an_exception_its_class_and_frames_are_logged_and_never_its_text(
    transport: str, lines: Lines, output: io.StringIO, caplog: pytest.LogCaptureFixture
):
    cause, error = KeyError(SECRETS[3]), ValueError(SECRETS[3])
    error.__cause__ = cause

    async with call(transport, failing(error), StringValue()) as outcome:
        assert outcome.code is grpc.StatusCode.INTERNAL

    (line,) = [line for line in lines() if line["event"] == "call failed unexpectedly"]
    assert [described["type"] for described in line["exception"]] == ["builtins.ValueError", "builtins.KeyError"]
    assert any("test_logging.py:" in frame and frame.endswith(" fail") for frame in line["exception"][0]["frames"])
    assert (line["level"], line["request_id"], line["process"]) == ("error", "mine-1", "probe")
    assert SECRETS[3] not in output.getvalue()
    assert SECRETS[3] not in caplog.text


def test_an_exception_under_way_is_logged_by_class_and_frames(lines: Lines, output: io.StringIO):
    try:
        json.loads(SECRETS[3])
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = lines()
    assert line["exception"][0]["type"] == "json.decoder.JSONDecodeError"
    assert SECRETS[3] not in output.getvalue()


def test_an_exception_that_causes_itself_is_logged_once(lines: Lines):
    one, other = ValueError("x"), KeyError("y")
    one.__cause__, other.__cause__ = other, one

    structlog.get_logger().error("failed", exc_info=one)

    assert [described["type"] for described in lines()[0]["exception"]] == ["builtins.ValueError", "builtins.KeyError"]


def test_a_line_is_one_line(lines: Lines):
    structlog.get_logger().info("two\nlines", text="a\r\nb\u2028c")

    assert lines()[0]["event"] == "two\nlines"


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", ["d", "i", "w", "e"]), ("info", ["i", "w", "e"]), ("warning", ["w", "e"]), ("error", ["e"])],
)
def test_the_level_is_the_least_that_is_written(
    configure: Callable[..., None], output: io.StringIO, level: str, written: list[str]
):
    configure(level=level)
    log = structlog.get_logger()

    log.debug("d")
    log.info("i")
    log.warning("w")
    log.error("e")

    assert [json.loads(line)["event"] for line in output.getvalue().splitlines()] == written


def test_people_read_the_text_of_an_exception_in_development(configure: Callable[..., None], output: io.StringIO):
    configure(style="console")

    structlog.get_logger().error("failed", exc_info=ValueError("the reason"))

    assert "ValueError: the reason" in output.getvalue()
    assert "probe" in output.getvalue()


async def test_what_a_call_binds_stays_in_its_call(lines: Lines):
    async with call("in_process", succeed, StringValue()):
        pass
    await asyncio.sleep(0)

    structlog.get_logger().info(str(uuid.uuid4()))

    assert "request_id" not in lines()[-1]
