"""Calls between probe modules whose processes stop, or are killed, while they run."""

from __future__ import annotations

import asyncio
import importlib
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from sqlalchemy import URL

from tests.partitions.partitions import launched, topology_of
from tests.partitions.probe.code import server_arguments
from tests.support.failures import failure_of

BLOCKS = (("alpha",), ("beta", "gamma", "delta", "epsilon"))


class Pair:
    """Two processes: alpha in one, all that it calls in the other."""

    def __init__(self, url: URL, folder: Path, code: Path) -> None:
        self.topology = topology_of(BLOCKS)
        self._stack = ExitStack()
        self.caller, self.callee = self._stack.enter_context(
            launched(self.topology, url=url, folder=folder, arguments=server_arguments(code))
        )

    def __enter__(self) -> Self:
        for server in (self.caller, self.callee):
            server.wait_until_serving()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@pytest.fixture
def pair(probe_url: URL, probe_code: Path, tmp_path: Path) -> Any:
    with Pair(probe_url, tmp_path, probe_code) as made:
        yield made


def running(pair: Pair, channel: grpc.aio.Channel, *, module: str, stream: bool, timeout: float | None) -> Any:
    """Makes a call that takes two seconds in the callee's process, by way of alpha or of alpha's process."""
    pb = importlib.import_module("generated.aura.probe.v1.plan_pb2")
    slow = pb.Plan(pause_ms=2000, responses=1)
    kind = pb.KIND_RESPONSE_STREAM if stream else pb.KIND_UNARY
    plan = pb.Plan(steps=[pb.Step(module="beta", kind=kind, plan=slow)]) if module == "alpha" else slow
    method = channel.unary_unary(f"/aura.{module}.v1.ProbeService/Run", pb.Plan.SerializeToString, pb.Report.FromString)
    return method(plan, timeout=timeout)


@pytest.mark.parametrize("module", ["alpha", "beta"], ids=["called by a module", "passed on"])
async def test_a_process_that_stops_finishes_what_it_has_begun(pair: Pair, module: str):
    async with grpc.aio.insecure_channel(pair.caller.address) as channel:
        call = running(pair, channel, module=module, stream=False, timeout=2.4)
        await asyncio.sleep(0.3)

        pair.callee.send(signal.SIGTERM)

        report = await call
    assert (report.reports[0] if module == "alpha" else report).module == "beta"


@pytest.mark.parametrize("timeout", [4.0, None], ids=["deadline", "no deadline"])
@pytest.mark.parametrize("stream", [False, True], ids=["once", "may be repeated"])
async def test_a_call_whose_process_is_killed_says_so(
    pair: Pair, stream, timeout: float | None, monkeypatch: pytest.MonkeyPatch
):
    async with grpc.aio.insecure_channel(pair.caller.address) as channel:
        call = running(pair, channel, module="alpha", stream=stream, timeout=timeout)
        await asyncio.sleep(0.5)
        begin = time.monotonic()

        pair.callee.kill()

        failure = await failure_of(call)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "MODULE_UNAVAILABLE")
    assert failure.error.metadata == {"module": "beta", "process": "p1"}
    assert time.monotonic() - begin < (timeout or 20)
