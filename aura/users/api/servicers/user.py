"""Serves `aura.users.v1.UserService`."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.field_masks import fields_to_update
from aura.kernel.interceptors.call import Context
from aura.kernel.pagination import PageTokens, page_size_of
from aura.kernel.security.actor import Actor
from aura.users.api.presenters import user as presenters
from aura.users.services.users import UserService
from generated.aura.users.v1 import user_pb2
from generated.aura.users.v1 import user_service_pb2 as pb
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceServicer


class UserServicer(UserServiceServicer):
    """Parses, calls, presents."""

    def __init__(self, *, users: UserService, page_tokens: PageTokens, actor: Actor) -> None:
        self._users = users
        self._page_tokens = page_tokens
        self._actor = actor.user_id

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> user_pb2.User:
        """Creates a user."""
        profile = presenters.profile_from_proto(request.user)
        roles = tuple(map(presenters.role_from_proto, request.user.roles))
        return presenters.to_proto(await self._users.create(profile=profile, roles=roles))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> user_pb2.User:
        """Returns a user."""
        return presenters.to_proto(await self._users.get(UUID(request.user_id)))

    async def BatchGetUsers(self, request: pb.BatchGetUsersRequest, context: Context) -> pb.BatchGetUsersResponse:
        """Returns several users at once."""
        users = await self._users.batch_get([UUID(user_id) for user_id in request.user_ids])
        return pb.BatchGetUsersResponse(users=map(presenters.to_proto, users))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        """Lists users, page by page."""
        position = self._page_tokens.open(request=request, actor=self._actor)
        query = presenters.query_from_proto(request)
        page = await self._users.list(query, after=position, page_size=page_size_of(request.page_size))
        return pb.ListUsersResponse(
            users=map(presenters.to_proto, page.items),
            next_page_token=self._page_tokens.seal(page.end, request=request, actor=self._actor),
        )

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> user_pb2.User:
        """Changes a user's profile."""
        names = fields_to_update(request.update_mask, request.user, presenters.UPDATABLE)
        fields = {name: getattr(request.user, name) for name in names}
        user = await self._users.update(UUID(request.user.user_id), fields, etag=request.user.etag)
        return presenters.to_proto(user)

    async def DeactivateUser(self, request: pb.DeactivateUserRequest, context: Context) -> user_pb2.User:
        """Takes an account out of use."""
        user = await self._users.deactivate(UUID(request.user_id), reason=request.reason, etag=request.etag)
        return presenters.to_proto(user)

    async def ReactivateUser(self, request: pb.ReactivateUserRequest, context: Context) -> user_pb2.User:
        """Puts an account back into use."""
        user = await self._users.reactivate(UUID(request.user_id), reason=request.reason, etag=request.etag)
        return presenters.to_proto(user)

    async def GrantRole(self, request: pb.GrantRoleRequest, context: Context) -> user_pb2.User:
        """Gives a user one more role."""
        role = presenters.role_from_proto(request.role)
        user = await self._users.grant_role(UUID(request.user_id), role, reason=request.reason, etag=request.etag)
        return presenters.to_proto(user)

    async def RevokeRole(self, request: pb.RevokeRoleRequest, context: Context) -> user_pb2.User:
        """Takes a role from a user."""
        role = presenters.role_from_proto(request.role)
        user = await self._users.revoke_role(UUID(request.user_id), role, reason=request.reason, etag=request.etag)
        return presenters.to_proto(user)
