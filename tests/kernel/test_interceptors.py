"""The chain around a service, for all kinds of call, on the network and in-process."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from aura.kernel.errors import FailedPrecondition, FieldViolation, Internal, NotFound
from aura.kernel.interceptors.access_log import AccessLog
from aura.kernel.interceptors.call import Call, current_call
from aura.kernel.interceptors.chain import Interceptor, InterceptorChain
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.identity import CALLER_MODULE, CALLER_USER
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.interceptors.trace_context import TraceContext, Tracing
from aura.kernel.interceptors.validation import Validation
from aura.kernel.security.actor import Actor
from aura.kernel.security.internal_identity import IDENTITY_METADATA, Identity, InternalIdentities
from aura.kernel.security.keys import KeyRing
from generated.aura.users.v1.user_service_pb2 import BatchGetUsersRequest, GetUserRequest
from tests.support.cluster import KEYS
from tests.support.services import (
    KINDS,
    SERVICE,
    TRANSPORTS,
    Served,
    caller_identity,
    echo,
    eventually,
    handlers,
    path_of,
    serving,
)

SECRET = "Ada told me that she cannot sleep"
GARBAGE = b"\xff\xff\xff garbage"
HIDDEN = "something went wrong on our side; the request id finds it in the log"


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    """What is logged."""
    with capture_logs() as lines:
        yield lines


def whole_chain(**options: Any) -> InterceptorChain:
    """The chain as the host has it."""
    return InterceptorChain(
        [RequestIds(), Tracing(), AccessLog(), ErrorMapping(), caller_identity(), Validation()], **options
    )


def chained(transport: str, body: Any, *, request_class: Any = StringValue, **options: Any) -> Any:
    return serving(transport, handlers(body, request_class), interceptors=[whole_chain()], **options)


async def drained(requests: AsyncIterator[Any]) -> None:
    """Reads all requests: a client of grpc.aio that still sends when its call ends may tell another code."""
    async for _ in requests:
        pass


def raising(error: BaseException, *, after: int = 0) -> Any:
    async def body(requests: AsyncIterator[Any], _: object) -> AsyncIterator[StringValue]:
        await drained(requests)
        for number in range(after):
            yield StringValue(value=str(number))
        raise error

    return body


# Errors


@pytest.mark.parametrize(
    "error", [ValueError(SECRET), KeyError(SECRET), AssertionError(SECRET), ExceptionGroup(SECRET, [OSError()])]
)
async def test_hides_an_unexpected_exception(transport: str, kind: str, error: Exception):
    async with chained(transport, raising(error)) as served:
        outcome = await served.call(kind)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.INTERNAL, HIDDEN)
    assert outcome.error.reason == "INTERNAL"
    assert uuid.UUID(outcome.request_info).version == 7
    assert SECRET.encode() not in outcome.status.SerializeToString()
    assert type(error).__name__.encode() not in outcome.status.SerializeToString()
    assert SECRET not in str(outcome.trailing)


async def test_hides_an_exception_after_the_first_responses(transport: str):
    async with chained(transport, raising(ValueError(SECRET), after=2)) as served:
        outcome = await served.call("unary_stream")

    assert [response.value for response in outcome.responses] == ["0", "1"]
    assert (outcome.code, outcome.details) == (grpc.StatusCode.INTERNAL, HIDDEN)


async def test_hides_that_a_response_is_of_the_wrong_type(transport: str, kind: str):
    async def wrong(requests: AsyncIterator[Any], _: object) -> AsyncIterator[Any]:
        await drained(requests)
        yield SECRET

    async with chained(transport, wrong) as served:
        outcome = await served.call(kind)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.INTERNAL, HIDDEN)


async def test_logs_what_it_hides(transport: str, kind: str, lines: list[Any]):
    error = ValueError(SECRET)

    async with chained(transport, raising(error)) as served:
        await served.call(kind)

    (line,) = [line for line in lines if line["event"] == "call failed unexpectedly"]
    assert line["exc_info"] is error
    assert line["log_level"] == "error"


async def test_tells_our_own_errors_in_full(transport: str, kind: str):
    error = FailedPrecondition(
        "not now ☺",
        reason="TOO_EARLY",
        metadata={"earliest": "noon"},
        violations=[FieldViolation(field="start_time", description="is early", rule="r")],
        retry_after=timedelta(seconds=3),
    )

    async with chained(transport, raising(error)) as served:
        outcome = await served.call(kind)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.FAILED_PRECONDITION, "not now ☺")
    assert {**vars(outcome.error)} == {**vars(error)}
    assert outcome.request_info == outcome.trailing["x-request-id"]


async def test_says_that_the_database_does_not_answer(transport: str):
    error = OperationalError(SECRET, {"reason": SECRET}, ConnectionRefusedError(SECRET))

    async with chained(transport, raising(error)) as served:
        outcome = await served.call("unary_unary")

    assert outcome.code is grpc.StatusCode.UNAVAILABLE
    assert (outcome.error.reason, outcome.error.retry_after) == ("DATABASE_UNAVAILABLE", timedelta(seconds=1))
    assert SECRET not in str(outcome.status)


async def test_bytes_that_are_no_message_are_a_malformed_request(transport: str, kind: str):
    async with chained(transport, echo) as served:
        outcome = await served.call(kind, [GARBAGE])

    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert outcome.details == "the request cannot be decoded as a message of the type that this method takes"
    assert outcome.error.reason == "MALFORMED_REQUEST"
    assert outcome.responses == []
    assert "arse" not in str(outcome.status)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("stream")])
async def test_any_message_of_a_stream_may_be_malformed(transport: str, kind: str):
    async with chained(transport, echo) as served:
        outcome = await served.call(kind, [StringValue(value="a"), GARBAGE, StringValue(value="b")])

    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert outcome.error.reason == "MALFORMED_REQUEST"


async def test_refuses_requests_that_break_their_contract(transport: str, kind: str):
    async with chained(transport, echo, request_class=GetUserRequest) as served:
        outcome = await served.call(kind, [GetUserRequest(user_id="x")])

    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert outcome.error.reason == "INVALID_REQUEST"
    assert [violation.field for violation in outcome.error.violations] == ["user_id"]


async def test_tells_of_a_thousand_violations_as_many_as_fit(transport: str):
    """Clients take 8 KiB of trailing metadata; more would end the call with another code."""
    async with chained(transport, echo, request_class=BatchGetUsersRequest) as served:
        outcome = await served.call("unary_unary", [BatchGetUsersRequest(user_ids=[str(n) for n in range(1000)])])

    assert outcome.code is grpc.StatusCode.INVALID_ARGUMENT
    assert outcome.error.reason == "INVALID_REQUEST"
    assert "(and 999 more)" in outcome.details
    assert outcome.error.violations[0].field == "user_ids[0]"
    assert outcome.status.ByteSize() < 6 * 1024


async def test_an_abort_stays_what_it_is(transport: str, kind: str, lines: list[Any]):
    async def abort(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await drained(requests)
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "past the end", (("page", "7"),))
        yield

    async with chained(transport, abort) as served:
        outcome = await served.call(kind)

    assert (outcome.code, outcome.details) == (grpc.StatusCode.OUT_OF_RANGE, "past the end")
    assert outcome.trailing["page"] == "7"
    assert outcome.status is None
    assert [line["code"] for line in lines if line["event"] == "call"] == ["OUT_OF_RANGE"]


async def test_a_code_set_without_an_abort_is_logged(transport: str, kind: str, lines: list[Any]):
    async def set_code(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await drained(requests)
        context.set_code(grpc.StatusCode.DATA_LOSS)
        yield StringValue()

    async with chained(transport, set_code) as served:
        outcome = await served.call(kind)

    assert outcome.code is grpc.StatusCode.DATA_LOSS
    assert [(line["code"], line["log_level"]) for line in lines if line["event"] == "call"] == [("DATA_LOSS", "error")]


async def test_a_cancelled_call_is_logged_as_cancelled(transport: str, kind: str, lines: list[Any]):
    running, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(requests: AsyncIterator[Any], _: object) -> AsyncIterator[Any]:
        try:
            async for _request in requests:
                running.set()
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        yield

    async with chained(transport, hang) as served:
        call = served.start(kind)
        await asyncio.wait_for(running.wait(), 10)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 10)
        await eventually(lambda: bool(lines))

    assert [(line["event"], line["code"]) for line in lines if line["event"] != "request"] == [("call", "CANCELLED")]


async def test_a_stream_that_its_reader_leaves_is_closed_and_logged_once(transport: str, lines: list[Any]):
    closed = asyncio.Event()

    async def endless(_: object, __: object) -> AsyncIterator[Any]:
        try:
            while True:
                yield StringValue(value="x" * 10_000)
        finally:
            closed.set()

    async with chained(transport, endless) as served:
        call = served.start("unary_stream")
        await call.read()
        call.cancel()
        await asyncio.wait_for(closed.wait(), 10)
        await eventually(lambda: bool(lines))

    assert [line["code"] for line in lines if line["event"] == "call"] == ["CANCELLED"]


async def test_each_call_is_logged_once(transport: str, kind: str, lines: list[Any]):
    async with chained(transport, echo) as served:
        await served.call(kind)

    (line,) = [line for line in lines if line["event"] == "call"]
    assert (line["method"], line["code"], line["log_level"]) == (f"/{SERVICE}/{kind}", "OK", "info")
    assert (line["user_id"], line["caller_module"]) == ("anonymous", None)
    assert 0 < line["duration_ms"] < 10_000


# Request ids


def _bound() -> dict[str, list[bytes]]:
    return {CALLER_MODULE: [b"billing"], CALLER_USER: ["ädä".encode()]}


def _token(*, path: str = path_of("unary_unary"), process: str = "aura", keys: KeyRing = KEYS, age: float = 0) -> bytes:
    """What another process sends along that calls for the module billing and the user ädä."""
    sealing = InternalIdentities(keys, now=lambda: time.time() - age)
    return sealing.seal(Identity(user="ädä", module="billing"), method=path, process=process)


def body_that_notes(calls: list[Call]) -> Any:
    async def note(requests: AsyncIterator[Any], _: object) -> AsyncIterator[StringValue]:
        await drained(requests)
        call = current_call.get()
        assert call is not None
        calls.append(call)
        yield StringValue()

    return note


@pytest.mark.parametrize("given", ["a", "A-z0._:/+=", "x" * 128, "0b9c6c1e-6a53-4e0f-9d0c-2f3d8a1b7c55"])
async def test_takes_the_callers_request_id(transport: str, kind: str, given: str):
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        outcome = await served.call(kind, metadata=[("x-request-id", given)])

    assert [call.request_id for call in calls] == [given]
    assert outcome.trailing["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "x" * 5000, "a b", " ", "a;b", "a{b}", "%0a", "$(id)"])
async def test_replaces_a_malformed_request_id(transport: str, given: str):
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        outcome = await served.call("unary_unary", metadata=[("x-request-id", given)])

    assert uuid.UUID(calls[0].request_id).version == 7
    assert outcome.trailing["x-request-id"] == calls[0].request_id


@pytest.mark.parametrize("given", ["a\nb", "a\0b", "a\x1bb", "ünï", "a\u2028b", "abc\n"])
async def test_replaces_a_request_id_that_no_wire_would_carry(given: str):
    """The chain is all there is between a caller in the process and the log."""

    class Context:
        def invocation_metadata(self) -> Any:
            return (("x-request-id", given),)

        def set_trailing_metadata(self, metadata: Any) -> None:
            self.trailing = metadata

    call = Call(method=None, context=Context())
    await RequestIds().on_call(call)

    assert uuid.UUID(call.request_id).version == 7
    assert call.context.trailing == (("x-request-id", call.request_id),)


async def test_a_binary_request_id_is_none(transport: str):
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        await served.call("unary_unary", metadata=[("x-request-id-bin", b"abc")])

    assert re.fullmatch(r"[0-9a-f-]{36}", calls[0].request_id)


@pytest.mark.parametrize("error", [NotFound("x"), ValueError("x")])
async def test_a_failed_call_tells_the_request_id_in_its_details_and_its_trailing_metadata(
    transport: str, kind: str, error: Exception
):
    async with chained(transport, raising(error)) as served:
        outcome = await served.call(kind, metadata=[("x-request-id", "mine-1")])

    assert outcome.request_info == "mine-1"
    assert outcome.trailing["x-request-id"] == "mine-1"


async def test_request_ids_of_calls_at_the_same_time_do_not_mix(transport: str):
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        outcomes = await asyncio.gather(
            *(served.call("unary_unary", metadata=[("x-request-id", f"r{number}")]) for number in range(50))
        )

    assert [outcome.trailing["x-request-id"] for outcome in outcomes] == [f"r{number}" for number in range(50)]
    assert current_call.get() is None


# Identity


UNRESERVED = [
    ("aura-caller-module", "mentalhealth"),
    ("aura-caller-user", "root"),
    (CALLER_MODULE, "mentalhealth"),
    (CALLER_USER, "root"),
]


async def test_a_caller_from_outside_is_nobody_known_whatever_its_metadata(transport: str, kind: str):
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        outcome = await served.call(kind, metadata=UNRESERVED)

    assert outcome.code is grpc.StatusCode.OK
    actor = calls[0].actor
    assert (actor.user_id, actor.via_module, actor.roles, actor.session_id) == ("anonymous", None, frozenset(), "")
    assert actor.source == ("127.0.0.1" if transport == "tcp" else "")


async def test_a_module_is_who_its_channel_is_bound_to_whatever_its_metadata(kind: str):
    calls: list[Call] = []

    async with chained("in_process", body_that_notes(calls), auth_context=_bound) as served:
        outcome = await served.call(kind, metadata=UNRESERVED)

    assert outcome.code is grpc.StatusCode.OK
    assert calls[0].actor == Actor(user_id="ädä", via_module="billing")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("x-aura-caller-module", "mentalhealth"),
        ("x-aura-user", "root"),
        ("x-aura-identity", "root"),
        (IDENTITY_METADATA, b""),
        (IDENTITY_METADATA, b"root"),
        (IDENTITY_METADATA, bytes(200)),
    ],
)
async def test_a_forged_identity_is_refused(transport: str, key: str, value: str | bytes):
    await _is_refused(transport, key, value)


@pytest.mark.parametrize(
    "differs",
    [{"path": path_of("other")}, {"process": "care"}, {"keys": KeyRing(bytes(32))}, {"age": 61}, {"age": -600}],
    ids=["another method", "another process", "another key", "old", "from the future"],
)
async def test_an_identity_that_is_not_of_this_call_is_refused(transport: str, differs: dict[str, Any]):
    await _is_refused(transport, IDENTITY_METADATA, _token(**differs))


async def _is_refused(transport: str, key: str, value: str | bytes) -> None:
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        outcome = await served.call("unary_unary", metadata=[(key, value)])

    assert calls == []
    assert outcome.error is not None
    assert (outcome.code, outcome.error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INTERNAL_IDENTITY_INVALID")
    assert "root" not in outcome.details


async def test_a_module_cannot_pass_for_another_by_a_token():
    calls: list[Call] = []

    async with chained("in_process", body_that_notes(calls), auth_context=_bound) as served:
        outcome = await served.call("unary_unary", metadata=[(IDENTITY_METADATA, _token())])

    assert calls == []
    assert outcome.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_process_of_the_platform_says_who_calls(transport: str, kind: str):
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        outcome = await served.call(kind, metadata=[(IDENTITY_METADATA, _token(path=path_of(kind)))])

    assert outcome.code is grpc.StatusCode.OK
    assert calls[0].actor == Actor(user_id="ädä", via_module="billing")


async def test_a_token_is_good_for_one_call(transport: str):
    calls: list[Call] = []
    metadata = [(IDENTITY_METADATA, _token())]

    async with chained(transport, body_that_notes(calls)) as served:
        first = await served.call("unary_unary", metadata=metadata)
        again = await served.call("unary_unary", metadata=metadata)

    assert first.code is grpc.StatusCode.OK
    assert again.code is grpc.StatusCode.UNAUTHENTICATED
    assert len(calls) == 1


# Traces


async def test_a_call_continues_the_trace_of_its_caller(transport: str, kind: str):
    calls: list[Call] = []
    parent = f"00-{'ab' * 16}-{'cd' * 8}-00"

    async with chained(transport, body_that_notes(calls)) as served:
        await served.call(kind, metadata=[("traceparent", parent), ("tracestate", "a=1,b=2")])

    trace = calls[0].trace
    assert trace is not None
    assert (trace.trace_id, trace.flags, trace.state) == ("ab" * 16, "00", "a=1,b=2")
    assert trace.span_id not in {"cd" * 8, "00" * 8}
    assert trace.metadata == (("traceparent", f"00-{'ab' * 16}-{trace.span_id}-00"), ("tracestate", "a=1,b=2"))


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "nonsense",
        f"ff-{'ab' * 16}-{'cd' * 8}-01",
        f"00-{'00' * 16}-{'cd' * 8}-01",
        f"00-{'ab' * 16}-{'00' * 8}-01",
        f"00-{'AB' * 16}-{'cd' * 8}-01",
        f"00-{'ab' * 16}-{'cd' * 8}-01-more",
        f"00-{'ab' * 16}-{'cd' * 8}",
    ],
)
def test_what_is_no_trace_begins_a_new_one(parent: str):
    trace = TraceContext.continued(parent, "a=1")

    assert re.fullmatch("[0-9a-f]{32}", trace.trace_id)
    assert trace.trace_id not in {"ab" * 16, "00" * 16}
    assert trace.state == ""


def test_a_trace_of_a_later_version_is_continued_as_far_as_it_is_known():
    assert TraceContext.continued(f"42-{'ab' * 16}-{'cd' * 8}-01-more", "").trace_id == "ab" * 16


# The chain itself


class Noting(Interceptor):
    """Notes each of its hooks."""

    def __init__(self, name: str, notes: list[str], *, refuse: str = "") -> None:
        self._name = name
        self._notes = notes
        self._refuse = refuse

    async def on_call(self, call: Call) -> None:
        del call
        self._note("call")

    def on_request(self, call: Call, request: Any) -> None:
        del call, request
        self._note("request")

    def on_response(self, call: Call, response: Any) -> None:
        del call, response
        self._note("response")

    def on_error(self, call: Call, error: Exception) -> Exception:
        del call
        self._note("error")
        return error

    def on_end(self, call: Call, error: BaseException | None) -> None:
        del call, error
        self._note("end")

    def _note(self, hook: str) -> None:
        self._notes.append(f"{hook} {self._name}")
        if hook == self._refuse:
            raise NotFound(f"refused by {self._name}")


async def notes_of(transport: str, kind: str, body: Any, **refusals: str) -> list[str]:
    notes: list[str] = []
    chain = InterceptorChain([Noting(name, notes, refuse=refusals.get(name, "")) for name in "ABC"])
    async with serving(transport, handlers(body), interceptors=[chain]) as served:
        await served.call(kind)
    return notes


ENTERED = ["call A", "call B", "call C"]
REQUESTED = ["request A", "request B", "request C"]
ANSWERED = ["response C", "response B", "response A"]
MAPPED = ["error C", "error B", "error A"]
LEFT = ["end C", "end B", "end A"]


async def test_hooks_run_in_order_on_the_way_in_and_in_reverse_on_the_way_out(transport: str, kind: str):
    notes = await notes_of(transport, kind, echo)

    assert notes == [*ENTERED, *REQUESTED, *ANSWERED, *LEFT]


async def test_hooks_of_errors_run_in_reverse_before_the_end(transport: str, kind: str):
    notes = await notes_of(transport, kind, raising(NotFound("x")))

    assert notes == [*ENTERED, *REQUESTED, *MAPPED, *LEFT]


async def test_a_refused_call_enters_no_further_and_ends_everywhere(transport: str, kind: str):
    notes = await notes_of(transport, kind, echo, B="call")

    assert notes == ["call A", "call B", *MAPPED, *LEFT]


async def test_a_refused_request_does_not_reach_the_handler(transport: str, kind: str):
    notes = await notes_of(transport, kind, raising(Internal("the handler ran")), B="request")

    assert notes == [*ENTERED, "request A", "request B", *MAPPED, *LEFT]


async def test_a_refused_response_is_not_sent(transport: str, kind: str):
    notes: list[str] = []
    chain = InterceptorChain([Noting(name, notes, refuse="response" if name == "B" else "") for name in "ABC"])

    async with serving(transport, handlers(echo), interceptors=[chain]) as served:
        outcome = await served.call(kind, [StringValue(value="a")])

    assert (outcome.responses, outcome.code, outcome.details) == ([], grpc.StatusCode.NOT_FOUND, "refused by B")
    assert notes == [*ENTERED, *REQUESTED, "response C", "response B", *MAPPED, *LEFT]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("stream")])
async def test_every_message_of_a_stream_is_checked(transport: str, kind: str):
    notes: list[str] = []

    async with serving(transport, handlers(echo), interceptors=[InterceptorChain([Noting("A", notes)])]) as served:
        await served.call(kind, [StringValue()] * 3)

    assert [note for note in notes if note != "response A"] == ["call A", *["request A"] * 3, "end A"]
    assert notes.count("response A") == (3 if kind.endswith("stream") else 1)


async def test_the_first_mapping_of_an_error_is_that_of_the_last_interceptor(transport: str):
    class Renaming(Interceptor):
        def __init__(self, name: str) -> None:
            self._name = name

        def on_error(self, call: Call, error: Exception) -> Exception:
            del call
            return NotFound(f"{error} {self._name}")

    chain = InterceptorChain([Renaming("A"), Renaming("B")])
    async with serving(transport, handlers(raising(ValueError("x"))), interceptors=[chain]) as served:
        outcome = await served.call("unary_unary")

    assert outcome.details == "x B A"


async def test_leaves_the_services_alone_that_it_is_told_to(transport: str, kind: str):
    notes: list[str] = []
    chain = InterceptorChain([Noting("A", notes, refuse="call")], except_services=[SERVICE])

    async with serving(transport, handlers(echo), interceptors=[chain]) as served:
        outcome = await served.call(kind, [StringValue(value="a")])

    assert outcome.responses == [StringValue(value="a")]
    assert notes == []


async def test_does_not_leave_alone_a_service_whose_name_only_begins_alike(transport: str):
    notes: list[str] = []
    chain = InterceptorChain([Noting("A", notes)], except_services=[SERVICE[:-1], f"{SERVICE}X", "aura.test.v1"])

    async with serving(transport, handlers(echo), interceptors=[chain]) as served:
        await served.call("unary_unary")

    assert notes == ["call A", "request A", "response A", "end A"]


async def test_an_unknown_method_is_unimplemented(transport: str):
    async with serving(transport, {}, interceptors=[whole_chain()]) as served:
        outcome = await served.call("unary_unary")

    assert outcome.code is grpc.StatusCode.UNIMPLEMENTED


async def test_no_call_sees_the_call_before_it(transport: str):
    """Neither the caller's own call nor that of an earlier request on the same connection."""
    calls: list[Call] = []

    async with chained(transport, body_that_notes(calls)) as served:
        for _ in range(3):
            await served.call("unary_unary")

    assert len({call.request_id for call in calls}) == 3
    assert current_call.get() is None


async def test_a_served_method_keeps_its_answers(transport: str, kind: str):
    async with chained(transport, echo) as served:
        outcome = await served.call(kind, [StringValue(value="a"), StringValue(value="b")])

    expected = {"unary_unary": ["a"], "unary_stream": ["a"], "stream_unary": ["b"], "stream_stream": ["a", "b"]}
    assert isinstance(served, Served)
    assert [response.value for response in outcome.responses] == expected[kind]
