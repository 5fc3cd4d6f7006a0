"""A task that is started at once must not be told from one that the event loop started."""

import asyncio
from contextvars import Context, ContextVar

import pytest

from aura.kernel.inprocess.eager import start_now

VARIABLE = ContextVar("variable", default="unset")


def start(coroutine, context=None):
    return start_now(coroutine, asyncio.get_running_loop(), context or Context())


async def test_runs_up_to_where_it_waits():
    events = []

    async def run():
        events.append("started")
        await asyncio.sleep(0)
        events.append("ended")

    task = start(run())

    assert events == ["started"]
    await task
    assert events == ["started", "ended"]


async def test_is_the_current_task_throughout():
    tasks = []
    caller = asyncio.current_task()

    async def run():
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    task = start(run())

    assert asyncio.current_task() is caller
    await task
    assert tasks == [task, task]


async def test_may_be_started_where_there_is_no_task():
    started = asyncio.get_running_loop().create_future()

    async def run():
        await asyncio.sleep(0)

    asyncio.get_running_loop().call_soon(lambda: started.set_result(start(run())))

    await (await started)


async def test_has_its_context_throughout():
    seen = []

    async def run():
        seen.append(VARIABLE.get())
        VARIABLE.set("inside")
        await asyncio.sleep(0)
        seen.append(VARIABLE.get())

    VARIABLE.set("outside")

    await start(run())

    assert seen == ["unset", "inside"]
    assert VARIABLE.get() == "outside"


async def test_may_end_at_once():
    async def run():
        pass

    task = start(run())

    assert await task is None
    assert not task.cancelled()


async def test_may_fail_at_once():
    async def run():
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        await start(run())


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_is_cancelled_where_it_waits(turns):
    events = []
    future = asyncio.get_running_loop().create_future()

    async def run():
        try:
            await future
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    task = start(run())
    for _ in range(turns):
        await asyncio.sleep(0)

    assert task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["cancelled"]
    assert future.cancelled()
    assert task.cancelled()


@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_what_it_waits_for_is_cancelled_first(turns):
    events = []

    async def inner():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            events.append("inner")
            raise

    async def run():
        child = asyncio.create_task(inner())
        events.append("waiting")
        try:
            await child
        finally:
            events.append(f"outer {child.cancelled()}")

    task = start(run())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert [event for event in events if event != "inner"] == ["waiting", "outer True"]
    assert ("inner" in events) == bool(turns)  # a task that is cancelled before its first step never takes it


async def test_may_survive_a_cancellation():
    async def run():
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
        await asyncio.sleep(0)

    task = start(run())
    task.cancel()

    await task
    assert not task.cancelled()


async def test_may_cancel_itself_in_its_first_step():
    async def run():
        asyncio.current_task().cancel()
        await asyncio.sleep(5)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(start(run()), 10)


async def test_timeouts_work_in_the_first_step():
    events = []

    async def run():
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(5)
        except TimeoutError:
            events.append("timed out")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1):
                await asyncio.sleep(5)
        events.append("timed out again")

    await start(run())

    assert events == ["timed out", "timed out again"]


async def test_an_expired_timeout_in_the_first_step():
    async def run():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(5)

    await start(run())


async def test_task_groups_work_in_the_first_step():
    async def fail():
        raise ValueError("a mistake")

    async def run():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(5)

    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(start(run()), 10)


async def test_what_it_waits_for_may_be_done_before_the_loop_turns():
    future = asyncio.get_running_loop().create_future()
    seen = []

    async def run():
        seen.append(await future)

    task = start(run())
    future.set_result("in time")

    await task
    assert seen == ["in time"]


async def test_yields_to_the_loop():
    events = []

    async def run():
        await asyncio.sleep(0)
        events.append("ran on")

    task = start(run())
    assert not events
    await task
    assert events == ["ran on"]


async def test_tasks_within_tasks():
    order = []

    async def inner():
        order.append(asyncio.current_task())
        await asyncio.sleep(0)

    async def outer():
        order.append(asyncio.current_task())
        child = start(inner())
        order.append(asyncio.current_task())
        await child

    task = start(outer())
    await task

    assert order[0] is order[2] is task
    assert order[1] is not task
