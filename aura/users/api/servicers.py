"""Serves `aura.users.v1`."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.interceptors.call import Context
from aura.users.api import presenters
from aura.users.services import UserService
from generated.aura.users.v1 import user_pb2, user_service_pb2
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceServicer


class UserServicer(UserServiceServicer):
    """Parses, calls, presents."""

    def __init__(self, *, users: UserService) -> None:
        self._users = users

    async def CreateUser(self, request: user_service_pb2.CreateUserRequest, context: Context) -> user_pb2.User:
        """Creates a user."""
        profile = presenters.profile_from_proto(request.user)
        roles = tuple(map(presenters.role_from_proto, request.user.roles))
        return presenters.to_proto(await self._users.create(profile=profile, roles=roles))

    async def GetUser(self, request: user_service_pb2.GetUserRequest, context: Context) -> user_pb2.User:
        """Returns a user."""
        return presenters.to_proto(await self._users.get(UUID(request.user_id)))

    async def BatchGetUsers(
        self, request: user_service_pb2.BatchGetUsersRequest, context: Context
    ) -> user_service_pb2.BatchGetUsersResponse:
        """Returns several users at once."""
        users = await self._users.batch_get([UUID(user_id) for user_id in request.user_ids])
        return user_service_pb2.BatchGetUsersResponse(users=map(presenters.to_proto, users))
