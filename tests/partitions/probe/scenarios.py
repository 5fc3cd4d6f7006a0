"""What the probe modules are told to do: calls of all kinds, in chains and at once, that end in every way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from generated.aura.probe.v1 import plan_pb2 as pb

from tests.partitions.partitions import Spread
from tests.partitions.probe.specs import NAMES, PUBLISHER
from tests.partitions.transcript import Transcript, each

UNARY, RESPONSES, REQUESTS, BOTH = (
    pb.KIND_UNARY,
    pb.KIND_RESPONSE_STREAM,
    pb.KIND_REQUEST_STREAM,
    pb.KIND_BOTH_STREAMS,
)
KINDS = {"unary": UNARY, "responses": RESPONSES, "requests": REQUESTS, "both": BOTH}
ENDS = {
    "not found": pb.END_NOT_FOUND,
    "invalid": pb.END_INVALID,
    "unavailable": pb.END_UNAVAILABLE,
    "bug": pb.END_BUG,
    "abort": pb.END_ABORT,
    "code": pb.END_CODE,
    "abort, unknown": pb.END_ABORT_UNKNOWN,
    "abort, unavailable": pb.END_ABORT_UNAVAILABLE,
}
AT_ONCE = 12
NO_METHOD = -1
SECOND = 2
MOODS = (
    pb.MOOD_UNSPECIFIED,
    pb.MOOD_RAISES,
    pb.MOOD_RAISES_ONCE,
    pb.MOOD_COMMITS_NOTHING,
    pb.MOOD_COMMITS_AND_RAISES,
    pb.MOOD_HANGS,
)
TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"


@dataclass(frozen=True)
class Scenario:
    """A call from outside, of a method of a module."""

    name: str
    module: str
    plan: pb.Plan
    kind: int = UNARY
    timeout: float | None = 20.0
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    stop_after: int = 0
    requests: int = 1
    eventually: tuple[str, ...] = field(default=())


def step(module: str, plan: pb.Plan | None = None, kind: int = UNARY, **options: Any) -> pb.Step:
    return pb.Step(module=module, kind=kind, plan=plan or pb.Plan(label=f"in {module}"), **options)


def chain(*modules: str, kind: int = UNARY, last: pb.Plan, **options: Any) -> pb.Plan:
    """A plan in which each module calls the next, and the last carries out `last`."""
    if not modules:
        return last
    first, *others = modules
    below = chain(*others, kind=kind, last=last, **options)
    return pb.Plan(label=f"before {first}", responses=2, steps=[step(first, below, kind, **options)])


def scenarios() -> list[Scenario]:
    """All scenarios; names are the labels of their calls."""
    behind = NAMES[1:]
    found = [
        Scenario("every module from outside", name, pb.Plan(label=f"outside {name}", set_metadata=True))
        for name in NAMES
    ]
    for word, kind in KINDS.items():
        end = pb.Plan(label=f"end of {word}", responses=3, set_metadata=True)
        found += [
            Scenario(f"{word} from outside", "gamma", end, kind, requests=3),
            Scenario(f"chain of {word}", "alpha", chain(*behind, kind=kind, last=end), requests=2),
            Scenario(
                f"fan-out by {word}",
                "alpha",
                pb.Plan(at_once=True, steps=[step(name, end, kind, requests=2) for name in behind]),
            ),
            Scenario(f"{word} within {word}", "alpha", chain("beta", "delta", kind=kind, last=end), kind, requests=2),
        ]
        for how, value in ENDS.items():
            failing = pb.Plan(label=f"{word} fails: {how}", responses=2, end=value)
            found += [
                Scenario(f"{word} from outside fails: {how}", "beta", failing, kind),
                Scenario(
                    f"{word} fails and is let through: {how}", "alpha", chain("beta", "gamma", kind=kind, last=failing)
                ),
                Scenario(
                    f"{word} fails and is caught: {how}",
                    "alpha",
                    pb.Plan(label="caught", steps=[step("epsilon", failing, kind, tolerate=True)]),
                ),
            ]
        hanging = pb.Plan(label=f"{word} hangs", responses=2, end=pb.END_HANG)
        found += [
            Scenario(
                f"{word} exhausts its caller's patience",
                "alpha",
                pb.Plan(steps=[step("delta", hanging, kind, timeout_ms=1000, tolerate=True)]),
                eventually=(f"{word} hangs was cut off",),
            ),
            Scenario(
                f"{word} exhausts the deadline from outside",
                "alpha",
                chain("beta", "gamma", "delta", kind=kind, last=hanging),
                timeout=1.0,
                eventually=(f"{word} hangs was cut off",),
            ),
            Scenario(
                f"{word} is refused: undeclared",
                "epsilon",
                pb.Plan(steps=[step("alpha", None, kind, tolerate=True), step("alpha", None, kind)]),
            ),
            Scenario(
                f"{word} is refused: connection held",
                "beta",
                pb.Plan(connection_held=True, steps=[step("gamma", None, kind, tolerate=True)]),
            ),
            Scenario(
                f"{word} carries metadata",
                "alpha",
                pb.Plan(
                    steps=[
                        step("beta", end, kind, metadata_key="probe-text"),
                        step("beta", end, kind, metadata_key="probe-bin"),
                    ]
                ),
                metadata=(("probe-from-outside", "not passed on"),),
            ),
            Scenario(
                f"{word} may not carry reserved metadata",
                "alpha",
                pb.Plan(steps=[step("beta", end, kind, metadata_key="x-aura-user", tolerate=True)]),
            ),
        ]
    large = pb.Plan(payload_bytes=5_000_000, responses=1)
    found += [
        Scenario("too large a message between modules", "alpha", pb.Plan(steps=[step("beta", large, tolerate=True)])),
        Scenario(
            "too large a message of a stream between modules",
            "alpha",
            pb.Plan(steps=[step("beta", large, RESPONSES, tolerate=True)]),
        ),
        Scenario(
            "a stream that its reader stops",
            "alpha",
            pb.Plan(steps=[step("beta", pb.Plan(label="stopped", responses=1000), RESPONSES, stop_after=2)]),
        ),
        Scenario("a long stream", "alpha", chain("beta", kind=RESPONSES, last=pb.Plan(responses=300))),
        Scenario(
            "a stream that the client stops",
            "alpha",
            chain("beta", "gamma", last=pb.Plan(label="left", responses=3, end=pb.END_HANG), kind=RESPONSES),
            RESPONSES,
            timeout=1.0,
            eventually=("left was cut off",),
        ),
        Scenario(
            "a rolled back unit of work",
            "alpha",
            pb.Plan(steps=[step("beta", pb.Plan(label="undone", end_rolls_back=True))]),
        ),
        Scenario("a module that is not there", "alpha", pb.Plan(steps=[step("alpha", None, tolerate=True)])),
        Scenario("no deadline", "alpha", chain(*behind, last=pb.Plan(label="no deadline")), timeout=None),
        Scenario(
            "a forged identity", "alpha", pb.Plan(label="forged"), metadata=(("x-aura-identity-bin", b"mallory"),)
        ),
        Scenario("a method that is not there", "delta", pb.Plan(), kind=NO_METHOD),
        Scenario("a forged user", "beta", pb.Plan(label="forged"), metadata=(("x-aura-user", "mallory"),)),
    ]
    return found


async def play(spread: Spread, transcript: Transcript) -> None:
    """Plays all scenarios, each through another process, and some at the same time.

    Those of deadlines come after the others: a call that is to be cut off must first arrive where it hangs, however
    busy all are. Meanwhile a subscriber hangs, too.
    """
    numbered = list(enumerate(scenarios()))
    await _together(spread, transcript, [each for each in numbered if not each[1].eventually])
    await _publish(spread, transcript)
    await _together(spread, transcript, [each for each in numbered if each[1].eventually])
    await _at_once(spread, transcript)


async def _together(spread: Spread, transcript: Transcript, numbered: Sequence[tuple[int, Scenario]]) -> None:
    limit = asyncio.Semaphore(AT_ONCE)

    async def take(number: int, scenario: Scenario) -> Any:
        async with limit:
            entry, _ = await transcript.entry(scenario.name, _made(spread, number, scenario))
            return entry

    transcript.entries += await asyncio.gather(*(take(*each) for each in numbered))


async def _publish(spread: Spread, transcript: Transcript) -> None:
    """Publishes events of all moods, some about one subject, from one call and from several."""
    for number, mood in enumerate(MOODS):
        happenings = [
            pb.Happening(subject=f"subject {number}", number=each, mood=mood if each == SECOND else pb.MOOD_UNSPECIFIED)
            for each in (1, 2, 3)
        ]
        for part in (happenings[:SECOND], happenings[SECOND:]):
            scenario = Scenario(f"publish: mood {mood}", PUBLISHER, pb.Plan(label=f"mood {mood}", publish=part))
            await transcript.call(scenario.name, _made(spread, number, scenario))


async def _at_once(spread: Spread, transcript: Transcript) -> None:
    plan = pb.Plan(label="at once", steps=[step("gamma"), step("epsilon")])
    calls = [_made(spread, number, Scenario("at once", NAMES[number % 2], plan)) for number in range(30)]
    answers = await asyncio.gather(*calls)
    transcript.note(
        "at once", sorted(f"{answer.module} {[each.module for each in answer.reports]}" for answer in answers)
    )


def _made(spread: Spread, number: int, scenario: Scenario) -> Any:
    channel, path = spread.channel(number), f"/aura.{scenario.module}.v1.ProbeService"
    codec = (pb.Plan.SerializeToString, pb.Report.FromString)
    options: dict[str, Any] = {
        "timeout": scenario.timeout,
        "metadata": (("x-request-id", f"request-{number}"), ("traceparent", TRACE), *scenario.metadata),
    }
    requests = [scenario.plan] * scenario.requests
    match scenario.kind:
        case pb.KIND_RESPONSE_STREAM:
            return channel.unary_stream(f"{path}/Stream", *codec)(scenario.plan, **options)
        case pb.KIND_REQUEST_STREAM:
            return channel.stream_unary(f"{path}/Collect", *codec)(each(requests), **options)
        case pb.KIND_BOTH_STREAMS:
            return channel.stream_stream(f"{path}/Talk", *codec)(each(requests), **options)
    method = "Nothing" if scenario.kind == NO_METHOD else "Run"
    return channel.unary_unary(f"{path}/{method}", *codec)(scenario.plan, **options)


def labels_to_come() -> dict[str, int]:
    """Rows that handlers write when they are cut off, which may be after their callers have gone on."""
    counted: dict[str, int] = {}
    for scenario in scenarios():
        for label in scenario.eventually:
            counted[label] = counted.get(label, 0) + 1
    return counted
