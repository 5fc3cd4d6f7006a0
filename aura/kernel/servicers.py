"""Hosts servicers: each call gets a servicer of its own, made by its module's container."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from dishka import Container

from aura.kernel.database import is_transient_conflict
from aura.kernel.events.inbox import NO_DELIVERY, Delivery
from aura.kernel.idempotency import ConcurrentReplay
from aura.kernel.interceptors.call import Call, Context, current_call
from aura.kernel.registry import generated_servicer


class ScopedServicer:
    """Stands in for a servicer: its methods open a request scope, take a servicer from it, and call that."""

    def __init__(self, *, servicer_class: type[object], container: Container) -> None:
        for name in vars(generated_servicer(servicer_class)):
            if not name.startswith("_"):
                setattr(self, name, _scoped(servicer_class, name, container))


def missing_methods(servicer_class: type[object]) -> list[str]:
    """Returns the methods of the contract that a servicer does not implement."""
    contract = generated_servicer(servicer_class)
    names = [name for name in vars(contract) if not name.startswith("_")]
    return [name for name in names if getattr(servicer_class, name) is getattr(contract, name)]


def _scoped(servicer_class: type[object], name: str, container: Container) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(getattr(servicer_class, name)):
        return _scoped_stream(servicer_class, name, container)

    async def attempt(request: Any, context: Context) -> Any:
        with container({Call: current_call.get(), Delivery: NO_DELIVERY}) as scope:
            return await getattr(scope.get(servicer_class), name)(request, context)

    async def serve(request: Any, context: Context) -> Any:
        try:
            return await attempt(request, context)
        except Exception as error:
            if not (isinstance(error, ConcurrentReplay) or is_transient_conflict(error)):
                raise
        return await attempt(request, context)

    return serve


def _scoped_stream(servicer_class: type[object], name: str, container: Container) -> Callable[..., Any]:
    async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
        with container({Call: current_call.get(), Delivery: NO_DELIVERY}) as scope:
            responses = getattr(scope.get(servicer_class), name)(request, context)
            async with aclosing(responses):
                async for response in responses:
                    yield response

    return serve
