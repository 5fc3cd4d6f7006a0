"""What the gateway costs: processor time of a request over HTTP, beyond that of the same call in-process.

Both go through the same chain of interceptors to a servicer that answers at once; the HTTP server runs in this process,
its clients do not.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass
from typing import Any

import uvloop

from aura.kernel.gateway import Gateway
from aura.kernel.http.protocol import HttpLimits
from aura.kernel.http.server import HttpServer
from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.chain import InterceptorChain
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.interceptors.trace_context import Tracing
from aura.kernel.interceptors.validation import Validation
from aura.kernel.listening import listen
from benchmarks import load
from benchmarks.population import example_user
from generated.aura.users.v1 import user_service_pb2
from generated.aura.users.v1.user_service_pb2_grpc import (
    UserServiceServicer,
    UserServiceStub,
    add_UserServiceServicer_to_server,
)

CALLS, ROUNDS, SECONDS = 2000, 5, 2
USER = example_user()


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Processor time per call, in microseconds."""

    http_us: float
    in_process_us: float

    @property
    def overhead_us(self) -> float:
        """What HTTP and JSON add."""
        return self.http_us - self.in_process_us


class _Users(UserServiceServicer):
    async def GetUser(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 gRPC's
        return USER


def measure() -> Costs:
    """Return it."""
    return uvloop.run(_measure())


async def _measure() -> Costs:
    server = InProcessServer(interceptors=[InterceptorChain([RequestIds(), Tracing(), ErrorMapping(), Validation()])])
    add_UserServiceServicer_to_server(_Users(), server)
    await server.start()
    channel = server.channel()
    gateway = Gateway([user_service_pb2.DESCRIPTOR.services_by_name["UserService"]], lambda _: channel)
    http = HttpServer(
        listen("127.0.0.1", 0), gateway, HttpLimits(connections=100, header_bytes=16384, header_seconds=10)
    )
    http.start()
    rounds = [(await _http_us(http.port), await _in_process_us(channel)) for _ in range(ROUNDS)]
    await http.stop(1)
    await channel.close()
    await server.stop(None)
    return Costs(
        http_us=statistics.median(http_us for http_us, _ in rounds),
        in_process_us=statistics.median(in_process_us for _, in_process_us in rounds),
    )


async def _http_us(port: int) -> float:
    begin = time.thread_time()
    asked = await asyncio.to_thread(load.wrk, f"127.0.0.1:{port}", f"/api/users/{USER.user_id}", seconds=SECONDS)
    return (time.thread_time() - begin) / asked.requests * 1e6


async def _in_process_us(channel: Any) -> float:
    stub: Any = UserServiceStub(channel)
    request = user_service_pb2.GetUserRequest(user_id=USER.user_id)
    begin = time.thread_time()
    for _ in range(CALLS):
        await stub.GetUser(request, timeout=60, metadata=(("x-forwarded-for", "127.0.0.1"),))
    return (time.thread_time() - begin) / CALLS * 1e6
