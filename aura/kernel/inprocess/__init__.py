"""gRPC without a network: generated stubs and servicers, joined in one process.

    server = InProcessServer()
    users_grpc.add_UserServiceServicer_to_server(UserServicer(), server)
    async with server.channel() as channel:
        user = await users_grpc.UserServiceStub(channel).GetUser(request, timeout=1.0)

A call cannot be told from one over a loopback socket, except by its speed; docs/inprocess.md says what that means.
"""

from aura.kernel.inprocess.channel import AuthContext, InProcessChannel
from aura.kernel.inprocess.server import InProcessServer

__all__ = ["AuthContext", "InProcessChannel", "InProcessServer"]
