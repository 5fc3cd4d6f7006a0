"""The transport's floor: a bare grpc.aio server that answers GetUser with a ready user, and does nothing else.

    python -m benchmarks.peers.echo PORT

It takes and gives the same bytes as Aura's GetUser and uses the same generated code to parse and serialise them.
"""

import asyncio
import sys
from typing import Any

import grpc

from benchmarks.population import example_user
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import GetUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceServicer, add_UserServiceServicer_to_server


class EchoServicer(UserServiceServicer):
    """Answers at once."""

    def __init__(self, user: User) -> None:
        self._user = user

    async def GetUser(self, request: GetUserRequest, context: Any) -> User:  # noqa: ARG002, N802 gRPC's signature
        """Return the user that it was made with."""
        return self._user


async def serve(port: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    add_UserServiceServicer_to_server(EchoServicer(example_user()), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
