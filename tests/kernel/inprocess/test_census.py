"""After very many calls that ended in every way, nothing of them is left."""

import asyncio
import gc
import os
import random
import types

import grpc

from aura.kernel.inprocess import InProcessServer
from aura.kernel.inprocess.exchange import Exchange
from tests.kernel.inprocess.harness import KINDS, SERVICE, Served, handler, text

CALLS = int(os.environ.get("AURA_CENSUS_CALLS", "10000"))
BATCH = 500
COUNTED = (
    Exchange,
    asyncio.Future,
    asyncio.Task,
    grpc.aio.Call,
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
)


def _census():
    gc.collect()
    return {kind.__name__: sum(isinstance(thing, kind) for thing in gc.get_objects()) for kind in COUNTED}


async def _one(request, context):
    await _do(request.value, context)
    return text()


async def _many(request, context):
    for _ in range(5):
        await _do(request.value, context)
        yield text("x" * (2_000_000 if request.value == "flood" else 20_000))


async def _collect(requests, context):
    async for request in requests:
        await _do(request.value, context)
    return text()


async def _echo(requests, context):
    async for request in requests:
        await _do(request.value, context)
        yield request


async def _do(what, context):
    if what == "sleep":
        await asyncio.sleep(0.002)
    elif what == "hang":
        await asyncio.sleep(60)
    elif what == "abort":
        await context.abort(grpc.StatusCode.ABORTED, "x")


async def _requests(what):
    for _ in range(3):
        yield text(what)
        await asyncio.sleep(0)


async def _call(served, chance):
    kind = chance.choice(KINDS)
    what = chance.choice(["at once", "sleep", "abort", "hang"])
    if chance.random() < 0.005:
        what = "flood"  # more than fits in a stream's window, so that writers wait, and are left waiting
    timeout = chance.choice([None, 0, 0.001, 0.005]) if what != "hang" else 0.005
    requests = [text(what)] if kind.startswith("unary") else chance.choice([_requests(what), [text(what)] * 3])
    call = served.call(kind, kind, requests, timeout=timeout, metadata=(("k", "v"),))
    if chance.random() < 0.4:
        asyncio.get_running_loop().call_later(chance.random() * 0.005, call.cancel)
    try:
        if kind.endswith("unary"):
            await call
        elif chance.random() < 0.1:
            await call.read()  # and forget the rest
        else:
            async for _ in call:
                pass
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        pass


async def test_nothing_is_left_of_ten_thousand_calls():
    server = InProcessServer()
    methods = dict(zip(KINDS, (_one, _many, _collect, _echo), strict=True))
    server.add_registered_method_handlers(
        SERVICE, {kind: handler(kind, behaviour) for kind, behaviour in methods.items()}
    )
    chance = random.Random(1)
    async with server.channel() as channel:
        served = Served(channel, server)
        await asyncio.gather(*[_call(served, chance) for _ in range(50)])
        await _quiet()
        before = _census()

        for _ in range(CALLS // BATCH):
            await asyncio.gather(*[_call(served, chance) for _ in range(BATCH)])
        await _quiet()

        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not channel._active
        assert not server._handlers
        assert _census() == before
        await server.stop(None)
    assert server.overruns == 0


async def _quiet():
    """Wait until abandoned streams have been collected and their handlers have ended."""
    for _ in range(20):
        gc.collect()
        await asyncio.sleep(0.005)
