"""How long Aura takes from start to first answer, on its embedded database and an initialised data directory."""

from __future__ import annotations

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import grpc

from benchmarks.servers import running
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import CreateUserRequest, GetUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub

STARTS = 5
ANSWER_SECONDS = 30.0


def measure(folder: Path) -> float:
    """Return the median of several starts, in seconds; the start that initialises is not among them."""
    user_id = ""
    took = []
    for _ in range(STARTS + 1):
        begin = time.perf_counter()
        with ExitStack() as stack:
            environment = {"AURA_PORT": "{port}", "AURA_DATA_DIR": str(folder / "data")}
            server = stack.enter_context(
                running("start", ["server.py"], folder, environment=environment, on_one_core=False)
            )
            users = UserServiceStub(stack.enter_context(grpc.insecure_channel(server.address)))
            if user_id:
                users.GetUser(GetUserRequest(user_id=user_id), wait_for_ready=True, timeout=ANSWER_SECONDS)
                took.append(time.perf_counter() - begin)
            else:
                user = User(email="ada@example.com", display_name="Ada", roles=[ROLE_PATIENT])
                created = users.CreateUser(CreateUserRequest(user=user), wait_for_ready=True, timeout=ANSWER_SECONDS)
                user_id = created.user_id
    return statistics.median(took)
