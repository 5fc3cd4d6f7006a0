"""Looks users up in the users module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from aura.kernel.errors import NotFound
from aura.mentalhealth.domain.entities.participant import Participant
from generated.aura.options.v1 import access_pb2
from generated.aura.users.v1 import user_pb2, user_service_pb2

if TYPE_CHECKING:
    from generated.aura.users.v1.user_service_pb2_grpc import UserServiceAsyncStub

USER_NOT_FOUND = "USER_NOT_FOUND"


class GrpcUserDirectory:
    """Calls `aura.users.v1.UserService`."""

    def __init__(self, *, stub: UserServiceAsyncStub) -> None:
        self._stub = stub

    async def find(self, user_ids: Sequence[UUID]) -> Mapping[UUID, Participant]:
        """Returns the users that exist, by their ids."""
        try:
            return await self._get(user_ids)
        except NotFound as error:
            if error.reason != USER_NOT_FOUND:
                raise
            missing = set(error.metadata["user_ids"].split(", "))
        known = [user_id for user_id in user_ids if str(user_id) not in missing]
        return await self._get(known) if known else {}

    async def _get(self, user_ids: Sequence[UUID]) -> Mapping[UUID, Participant]:
        request = user_service_pb2.BatchGetUsersRequest(user_ids=map(str, user_ids))
        response = await self._stub.BatchGetUsers(request)
        return {UUID(user.user_id): _to_participant(user) for user in response.users}


def _to_participant(user: user_pb2.User) -> Participant:
    return Participant(
        user_id=UUID(user.user_id),
        roles=frozenset(map(access_pb2.Role.Name, user.roles)),
        active=user.state == user_pb2.USER_STATE_ACTIVE,
        time_zone=user.time_zone,
    )
