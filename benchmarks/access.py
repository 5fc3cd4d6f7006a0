"""What it costs a call to find out who makes it and whether they may, in this process and without a database.

Calls go through the chain of interceptors of a server, with and without those that are about the caller, in turn.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aura.kernel.inprocess import InProcessServer
from aura.kernel.interceptors.access import AccessPolicy
from aura.kernel.interceptors.chain import Interceptor, InterceptorChain
from aura.kernel.interceptors.denials import Denials
from aura.kernel.interceptors.dependencies import DeclaredDependencies
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.identity import CallerIdentity
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.interceptors.trace_context import Tracing
from aura.kernel.interceptors.validation import Validation
from aura.kernel.security.access_tokens import ALGORITHM, AUDIENCE, ISSUER, USER_TOKEN
from aura.kernel.security.callers import Callers
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.security.keys import KeyRing
from aura.modules import AURA_MODULES
from benchmarks.population import example_user
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN
from generated.aura.users.v1.access_service_pb2 import GetAccessResponse
from generated.aura.users.v1.user_service_pb2 import GetUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import (
    UserServiceServicer,
    UserServiceStub,
    add_UserServiceServicer_to_server,
)

CALLS, ROUNDS, COLD_CALLS = 400, 15, 200
KEY_ID = "benchmark"
USER = example_user()
Call = Callable[[str], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class Access:
    """Processor time per call, in microseconds: where token and rights are known, and where neither is."""

    warm_us: float
    cold_us: float


def measure(*, calls: int = CALLS, rounds: int = ROUNDS, cold_calls: int = COLD_CALLS) -> Access:
    """Return it."""
    return asyncio.run(_measure(calls, rounds, cold_calls))


async def _measure(calls: int, rounds: int, cold_calls: int) -> Access:
    key = Ed25519PrivateKey.generate()
    rest: list[Interceptor] = [RequestIds(), Tracing(), ErrorMapping()]
    callers = Callers(_Directory(key))  # type: ignore[arg-type] # it answers as the service does
    about_callers: list[Interceptor] = [
        CallerIdentity(identities=InternalIdentities(KeyRing(secrets.token_bytes(32))), process="p", callers=callers),
        Denials({}),
        DeclaredDependencies(AURA_MODULES),
        AccessPolicy(callers),
    ]
    without, with_them = await _server([*rest, Validation()]), await _server([*rest, *about_callers, Validation()])
    known = _token(key)
    warm = []
    for _ in range(rounds):
        bare = await _cpu_us(without, [known] * calls)
        warm.append(await _cpu_us(with_them, [known] * calls) - bare)
    strangers = [_token(key) for _ in range(cold_calls)]
    cold = await _cpu_us(with_them, strangers) - await _cpu_us(without, strangers)
    return Access(warm_us=statistics.median(warm), cold_us=cold)


async def _server(interceptors: Sequence[Interceptor]) -> Call:
    server = InProcessServer(interceptors=[InterceptorChain(interceptors)])
    add_UserServiceServicer_to_server(_Users(), server)
    await server.start()
    stub: Any = UserServiceStub(server.channel())
    request = GetUserRequest(user_id=USER.user_id)
    return lambda token: stub.GetUser(request, metadata=(("authorization", f"Bearer {token}"),))


async def _cpu_us(call: Call, tokens: Sequence[str]) -> float:
    begin = time.thread_time()
    for token in tokens:
        await call(token)
    return (time.thread_time() - begin) / len(tokens) * 1e6


def _token(key: Ed25519PrivateKey) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": USER.user_id, "sid": str(uuid.uuid4()), "jti": str(uuid.uuid4())}
    times = {"iat": now, "nbf": now, "exp": now + 300}
    return jwt.encode({**claims, **times}, key, algorithm=ALGORITHM, headers={"typ": USER_TOKEN, "kid": KEY_ID})


class _Users(UserServiceServicer):
    """Answers at once."""

    async def GetUser(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 gRPC's
        """Returns a user."""
        return USER


class _Directory:
    """Knows one key, and an admin by every session."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._keys = {KEY_ID: key.public_key()}

    async def keys(self) -> Any:
        """Returns the key."""
        return self._keys

    async def access(self, *, subject: str, session: str) -> Any:  # noqa: ARG002 one answer for all
        """Returns what the caller may be."""
        return GetAccessResponse(user_id=subject, roles=[ROLE_ADMIN])
