"""Random calls, made over TCP and in-process: what a client can tell of them must be the same.

AURA_FUZZ_EXAMPLES sets how many, `make fuzz` makes 20,000; what they found is in the other files as tests with names.
"""

import asyncio
import contextlib
import logging
import os
import string
from typing import Any, NamedTuple

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kernel.inprocess.harness import KINDS, Harness, Outcome, grouped, handler, outcome_of, scripted, text

EXAMPLES = int(os.environ.get("AURA_FUZZ_EXAMPLES", "1200"))

_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))
_names = st.text(string.ascii_lowercase + string.digits + "_-.", min_size=0, max_size=8).map("k{}".format)
_metadatum = st.one_of(
    st.tuples(_names.filter(lambda name: not name.endswith("-bin")), st.text(_PRINTABLE, max_size=20)),
    st.tuples(_names.map("{}-bin".format), st.binary(max_size=20)),
)
_metadata = st.lists(_metadatum, max_size=4).map(tuple)
_illegal = st.sampled_from([("UPPER", "x"), ("k", "\n"), ("k", "é"), ("", "x"), ("k/", "x")])
_perhaps_illegal = st.one_of(_metadata, _metadata, st.tuples(_metadatum, _illegal))
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_codes = st.one_of(st.sampled_from(grpc.StatusCode), st.integers(-1, 20))
_failures = _codes.filter(lambda code: code not in (grpc.StatusCode.OK, 0))
_messages = st.one_of(_texts, st.integers(0, 100_000).map("x".__mul__))

_steps = st.lists(
    st.one_of(
        st.tuples(st.just("initial"), _perhaps_illegal),
        st.tuples(st.just("trailing"), _perhaps_illegal),
        st.tuples(st.just("emit"), _messages),
        st.tuples(st.just("code"), _codes),
        st.tuples(st.just("details"), _texts),
        st.tuples(st.just("pause")),
    ),
    max_size=8,
)
_ends = st.one_of(
    st.tuples(st.just("return")),
    st.tuples(st.just("abort"), _failures, _texts, _perhaps_illegal),
    st.tuples(st.just("abort, suppressed"), _failures, _texts, _metadata),
    st.tuples(st.just("raise"), _texts),
)


class Script(NamedTuple):
    """What a servicer does, after it has read all requests; and what it was sent."""

    kind: str
    steps: list[tuple[Any, ...]]
    end: tuple[Any, ...]
    requests: list[str]
    metadata: tuple[tuple[str, str | bytes], ...]


_scripts = st.builds(
    Script, st.sampled_from(KINDS), _steps, _ends, st.lists(_messages, min_size=1, max_size=4), _metadata
)


class Stage:
    """Plays scripts on one transport, and notes what the servicer saw."""

    def __init__(self) -> None:
        self.script: Script | None = None
        self.seen: list[Any] = []
        self.served: Any = None
        self.calls = 0

    async def open(self, transport: str) -> Harness:
        harness = Harness(transport)
        methods = {kind: scripted(kind, self._play) for kind in KINDS}
        self.served = await harness.serve({**methods, "Reply": handler("stream_stream", _reply)})
        return harness

    async def perform(self, script: Script, **options: Any) -> tuple[Outcome, list[Any]]:
        self.script = script
        self.seen = []
        call = self.call(script, **options)
        outcome = await asyncio.wait_for(outcome_of(script.kind, call), 20)
        return outcome, self.seen

    def call(self, script: Script, **options: Any) -> Any:
        self.calls += 1
        requests = [text(request) for request in script.requests]
        return self.served.call(script.kind, script.kind, requests, metadata=script.metadata, **options)

    async def _play(self, requests, context, emit):
        assert self.script is not None
        self.seen.append(grouped(context.invocation_metadata()))
        self.seen.append([request.value async for request in requests])
        for name, *arguments in self.script.steps:
            try:
                await self._step(name, arguments, context, emit)
            except grpc.aio.UsageError as error:
                self.seen.append(str(error))
        match self.script.end:
            case ("abort", *status):
                await context.abort(*status)
            case ("abort, suppressed", *status):
                with contextlib.suppress(grpc.aio.AbortError):
                    await context.abort(*status)
                await emit(text("too late"))
            case ("raise", message):
                raise ValueError(message)
            case ("hang",):
                await asyncio.Event().wait()

    async def _step(self, name, arguments, context, emit):
        if name == "initial":
            await context.send_initial_metadata(*arguments)
        elif name == "trailing":
            context.set_trailing_metadata(*arguments)
        elif name == "emit":
            await emit(text(*arguments))
        elif name == "code":
            context.set_code(*arguments)
        elif name == "details":
            context.set_details(*arguments)
        else:
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
def stages(record_figure):
    logging.disable(logging.CRITICAL)
    with asyncio.Runner() as runner:
        tcp, in_process = Stage(), Stage()
        harnesses = [runner.run(tcp.open("tcp")), runner.run(in_process.open("in_process"))]
        yield runner, tcp, in_process
        for harness in harnesses:
            runner.run(harness.close())
    record_figure("fuzzed_calls", in_process.calls)
    logging.disable(logging.NOTSET)


_settings = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@_settings
@given(script=_scripts)
def test_calls_that_end_by_themselves(stages, script):
    runner, tcp, in_process = stages

    expected, seen_over_tcp = runner.run(tcp.perform(script))
    actual, seen_in_process = runner.run(in_process.perform(script))

    assert actual == expected
    assert seen_in_process == seen_over_tcp


async def _cut(stage, script, way, reads):
    """Cut off a call that would never end, after some reads; return what came of it."""
    stage.script, stage.seen = script, []
    call = stage.call(script, timeout=0.1 if way == "deadline" else None)
    received = []
    try:
        if script.kind.endswith("stream"):
            received = [(await call.read()).value for _ in range(reads)]
        else:
            await asyncio.sleep(0)
        if way == "cancel":
            call.cancel()
        await (call.read() if script.kind.endswith("stream") else call)
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
        return received, type(error), await call.code(), grouped(await call.trailing_metadata()), call.cancelled()
    return "it ended"


@settings(_settings, max_examples=EXAMPLES // 5 + 1)
@given(script=_scripts, way=st.sampled_from(["cancel", "deadline"]))
def test_calls_that_are_cut_off(stages, script, way):
    runner, tcp, in_process = stages
    responses = [step for step in script.steps if step[0] == "emit"]
    script = script._replace(end=("hang",), steps=responses)

    async def cut_both():
        return await asyncio.gather(*(_cut(stage, script, way, len(responses)) for stage in (tcp, in_process)))

    expected, actual = runner.run(cut_both())

    assert actual == expected


_moves = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), st.integers(0, 50_000)),
        st.tuples(st.just("read")),
        st.tuples(st.just("done_writing")),
        st.tuples(st.just("pause")),
    ),
    max_size=15,
)


async def _reply(requests, context):
    """Answer each request as often as it asks for, and abort at the end if the last asks for nothing."""
    count = None
    async for request in requests:
        count = int(request.value.split()[0])
        for _ in range(count):
            yield request
    if count == 0:
        await context.abort(grpc.StatusCode.ABORTED, "the last asked for nothing")


async def _interleave(stage, moves):
    """Make moves, reading only what is sure to come; return all that was received and raised."""
    stage.calls += 1
    call = stage.served.stub("stream_stream", "Reply")()
    noted, due, half_closed = [], 0, False
    for move, *arguments in moves:
        try:
            if move == "write":
                count, size = arguments
                await call.write(text(f"{count} {'x' * size}"))
                due += count
            elif move == "read" and due:
                noted.append((await call.read()).value)
                due -= 1
            elif move == "done_writing":
                half_closed = True
                await call.done_writing()
            else:
                await asyncio.sleep(0)
        except asyncio.InvalidStateError:
            noted.append("invalid state")
    if not half_closed:
        await call.done_writing()
    return noted, await _rest(call)


async def _rest(call):
    received = []
    try:
        while (response := await call.read()) is not grpc.aio.EOF:
            received.append(response.value)
    except grpc.aio.AioRpcError:
        pass
    return received, await call.code(), await call.details()


@settings(_settings, max_examples=EXAMPLES // 2 + 1)
@given(moves=_moves)
def test_interleaved_streams(stages, moves):
    runner, tcp, in_process = stages

    expected = runner.run(asyncio.wait_for(_interleave(tcp, moves), 20))
    actual = runner.run(asyncio.wait_for(_interleave(in_process, moves), 20))

    assert actual == expected
