"""Runs all processes of a topology on this machine, side by side, as long as none of them ends."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

COLOURS = (36, 33, 32, 35, 34, 31)  # cyan, yellow, green, magenta, blue, red
CHUNK_BYTES = 64 * 1024
LONGEST_LINE_BYTES = 1024 * 1024
MERCIES = 3
REVIVE_SECONDS = 1.0

log = structlog.get_logger()


class ProcessGroup:
    """Starts processes together, shows what they say behind their names, and stops them together.

    Args:
        commands: by the name of each process, the program to run and its arguments. It must stop when its standard
            input ends, so that none of them outlives this process, however that ends.
        environment: what the processes get.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
        self._commands = commands
        self._environment = environment
        self._children: dict[str, Process] = {}
        self._stopping = asyncio.Event()
        self._times_told = 0

    async def run(self, revive: Callable[[], None]) -> int:
        """Runs until a signal comes, or a process ends; returns 0 if all ended well after being told to.

        `revive` is called every second, in a thread.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        reviving = asyncio.create_task(_every_second(revive))
        running = [asyncio.create_task(self._run(name)) for name in self._commands]
        try:
            codes = await asyncio.gather(*running)
        finally:
            self._stop()
            await asyncio.wait(running)
            reviving.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        return int(any(codes))

    async def _run(self, name: str) -> int:
        process = self._children[name] = await asyncio.create_subprocess_exec(
            *self._commands[name],
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C in the terminal reaches this process, which tells the others
        )
        if self._stopping.is_set():
            process.terminate()
        await self._show_output(name, process)
        code = await process.wait()
        if not self._stopping.is_set():
            self._say(name, f"ended with status {code}; stopping the others")
            self._stop()
            return code or 1
        return code

    def _stop(self) -> None:
        """Tells all processes to stop; told twice, they stop at once; a third time, they are ended."""
        self._stopping.set()
        self._times_told += 1
        for process in self._children.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM if self._times_told < MERCIES else signal.SIGKILL)

    async def _show_output(self, name: str, process: Process) -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE_BYTES:
                lines, rest = [*lines, rest], b""
            for line in lines:
                self._say(name, line.decode(errors="replace"))
        if rest:
            self._say(name, rest.decode(errors="replace"))

    def _say(self, name: str, line: str) -> None:
        width = max(map(len, self._commands))
        prefix = f"{name:<{width}} |"
        if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            colours = dict(zip(self._commands, itertools.cycle(COLOURS), strict=False))
            prefix = f"\033[{colours[name]}m{prefix}\033[0m"
        sys.stdout.write(f"{prefix} {line}\n")
        sys.stdout.flush()


async def _every_second(call: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(REVIVE_SECONDS)
        try:
            await asyncio.to_thread(call)
        except Exception as error:  # noqa: BLE001 the next second brings another try
            log.warning("database could not be started again", cause=str(error))
