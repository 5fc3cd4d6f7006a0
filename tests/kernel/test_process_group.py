"""Processes side by side, as `aura run` has them; what the whole does with real servers is in tests/e2e."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import pytest

from aura.kernel import process_group
from aura.kernel.process_group import ProcessGroup

IGNORING = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


def group(*programs: str) -> ProcessGroup:
    commands = {f"p{number}": [sys.executable, "-c", program] for number, program in enumerate(programs)}
    return ProcessGroup(commands, {"PATH": os.environ["PATH"]})


async def test_shows_lines_of_any_length_behind_the_name_of_their_process(capsys: pytest.CaptureFixture[str]):
    length = process_group.LONGEST_LINE_BYTES + 100_000

    code = await group(f"print('x' * {length}); print('after'); print('no newline', end='')").run(lambda: None)

    lines = capsys.readouterr().out.splitlines()
    assert code == 1  # it ended without being told to
    assert all(line.startswith("p0 | ") for line in lines)
    assert sum(line.count("x") for line in lines) == length
    assert {"p0 | after", "p0 | no newline"} <= set(lines)


async def test_goes_on_reviving_the_database_when_one_try_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(process_group, "REVIVE_SECONDS", 0.05)
    tries = []

    def revive() -> None:
        tries.append(None)
        raise OSError("it does not start")

    await group("import time; time.sleep(1)").run(revive)

    assert len(tries) > 2


async def test_ends_a_process_that_ignores_being_told_when_told_the_third_time(capsys: pytest.CaptureFixture[str]):
    running = asyncio.create_task(group(IGNORING).run(lambda: None))
    await _until(lambda: "ready" in capsys.readouterr().out)

    for _ in range(process_group.MERCIES - 1):
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert not running.done()
    os.kill(os.getpid(), signal.SIGTERM)

    assert await asyncio.wait_for(running, 10) == 1


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 a process's output has no event
            await asyncio.sleep(0.02)
