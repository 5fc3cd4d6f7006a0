"""A call as the interceptors see it."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc

from aura.kernel.security.actor import Actor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.message import Message

    from aura.kernel.interceptors.trace_context import TraceContext


Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


USER_AGENT = "user-agent"
FORWARDED_USER_AGENT = "grpcgateway-user-agent"
"""Where whoever calls for others says what program they have; grpc-gateway's name for it."""


def user_agent_of(context: Context) -> str:
    """Returns the name of the caller's program, also of one that calls by way of a gateway or another process."""
    metadata = dict(context.invocation_metadata() or ())
    return str(metadata.get(FORWARDED_USER_AGENT) or metadata.get(USER_AGENT, ""))


@dataclass(frozen=True, kw_only=True)
class Method:
    """An RPC method: its full name as on the wire, what kind of call it takes, and whether its messages are unknown."""

    path: str
    request_streaming: bool
    response_streaming: bool
    opaque: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """A call under way. Each interceptor fills in what it is responsible for.

    Attributes:
        sent: Its metadata as it came, in which a key may be several times.
        actor: Who makes it.
        forwarded: Whether another process has passed it on.
        in_process: Whether a module of this process makes it.
        only_own: Whether the caller is admitted for requests about themselves only.
        revoked: Fails when the caller of a stream loses the right to it.
        audited: Becomes true once an entry that the call has written to an audit trail is committed.
    """

    method: Method
    context: Context
    metadata: Mapping[str, str | bytes] = field(default_factory=dict)
    sent: Iterable[tuple[str, str | bytes]] = ()
    request_id: str = ""
    trace: TraceContext | None = None
    actor: Actor = field(default_factory=Actor.local)
    forwarded: bool = False
    in_process: bool = False
    only_own: bool = False
    revoked: asyncio.Future[None] | None = None
    request: Message | None = None
    audited: bool = False
    started: float = field(default_factory=time.perf_counter)

    def text(self, key: str) -> str:
        """Returns the text that came in the metadata under a key; empty if none did."""
        value = self.metadata.get(key, "")
        return value if isinstance(value, str) else ""


def platform_call() -> Call:
    """Returns what stands for a call where the platform itself has something done, and nobody waits for an answer."""
    method = Method(path="", request_streaming=False, response_streaming=False)
    return Call(method=method, context=cast("Context", None))


current_call: ContextVar[Call | None] = ContextVar("current_call", default=None)
"""The call that the present task serves."""
