"""A call as the interceptors see it."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from aura.kernel.security.actor import Actor

if TYPE_CHECKING:
    from google.protobuf.message import Message


Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(frozen=True, kw_only=True)
class Method:
    """An RPC method: its full name as on the wire, and what kind of call it takes."""

    path: str
    request_streaming: bool
    response_streaming: bool


@dataclass(slots=True, kw_only=True)
class Call:
    """A call under way. Each interceptor fills in what it is responsible for."""

    method: Method
    context: Context
    request_id: str = ""
    actor: Actor = field(default_factory=Actor.local)
    request: Message | None = None
    started: float = field(default_factory=time.perf_counter)


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
"""The call that the present task serves."""
