"""How long Aura takes from start to first answer, on its embedded database and an initialised data directory."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import grpc

from benchmarks.servers import running
from generated.aura.users.v1.authentication_service_pb2 import GetJwksRequest
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub

STARTS = 5
ANSWER_SECONDS = 30.0


def measure(folder: Path, *, starts: int = STARTS) -> float:
    """Return the median of several starts, in seconds; the start that initialises is not among them."""
    took = []
    for turn in range(starts + 1):
        begin = time.perf_counter()
        with ExitStack() as stack:
            environment = {"AURA_PORT": "{port}", "AURA_HTTP_PORT": "0", "AURA_DATA_DIR": str(folder / "data")}
            server = stack.enter_context(
                running("start", ["server.py"], folder, environment=environment, on_one_core=False)
            )
            accounts = AuthenticationServiceStub(stack.enter_context(grpc.insecure_channel(server.address)))
            accounts.GetJwks(GetJwksRequest(), wait_for_ready=True, timeout=ANSWER_SECONDS)  # it reads the database
            if turn:
                took.append(time.perf_counter() - begin)
    return statistics.median(took)
