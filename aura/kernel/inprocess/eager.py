"""Starting a task at once, in a context of its own, instead of on the event loop's next turn.

Waiting for the next turn costs more than the rest of a call. CPython 3.12 has ``eager_start`` for this; before that,
the first step is driven here with the hooks that asyncio documents for those who extend it (``_enter_task`` and
``_leave_task``). Either way ``asyncio.current_task()`` is the new task from its first line on, so that timeouts and
task groups work.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextvars import Context


if sys.version_info >= (3, 12):

    def start_now(
        coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: Context
    ) -> asyncio.Task[None]:
        """Return a task that has already run up to where it first waits, or to its end."""
        return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)

else:

    def start_now(
        coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop, context: Context
    ) -> asyncio.Task[None]:
        """Return a task that has already run up to where it first waits, or to its end."""
        begun = _Begun(coroutine)
        task = asyncio.Task(begun, loop=loop, context=context)
        caller = asyncio.current_task(loop)
        if caller is not None:
            asyncio._leave_task(loop, caller)  # noqa: SLF001  documented under "Extending asyncio"
        asyncio._enter_task(loop, task)  # noqa: SLF001
        try:
            context.run(begun.take_first_step)
        finally:
            asyncio._leave_task(loop, task)  # noqa: SLF001
            if caller is not None:
                asyncio._enter_task(loop, caller)  # noqa: SLF001
        return task

    _HANDED_OVER = object()

    class _Begun(Coroutine[Any, Any, None]):
        """A coroutine whose first step is taken ahead; the task's own first step hands over what came of it."""

        __slots__ = ("_coroutine", "_first", "_outcome")

        def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
            self._coroutine = coroutine
            self._first: Any = _HANDED_OVER
            self._outcome: BaseException | None = None

        def take_first_step(self) -> None:
            try:
                self._first = self._coroutine.send(None)
            except StopIteration:
                self._outcome = StopIteration()  # not the one caught, whose traceback leads back here: a cycle
            except BaseException as error:  # noqa: BLE001  the task gets it from send()
                self._outcome = error

        def send(self, value: Any, /) -> Any:
            if self._outcome is not None:
                raise self._outcome
            if self._first is not _HANDED_OVER:
                return self._take_over()
            return self._coroutine.send(value)

        def throw(self, error: Any, *rest: Any) -> Any:
            if self._outcome is not None:
                raise self._outcome
            if self._first is not _HANDED_OVER:
                waits_for = self._take_over()
                if isinstance(error, asyncio.CancelledError) and waits_for is not None and waits_for.cancel():
                    return waits_for  # as Task.cancel() does: what is awaited goes first, the coroutine hears from it
            return self._coroutine.throw(error, *rest)

        def close(self) -> None:
            self._coroutine.close()

        def __await__(self) -> Generator[Any, Any, None]:
            raise NotImplementedError("only a task drives this")

        def _take_over(self) -> Any:
            first, self._first = self._first, _HANDED_OVER
            return first
