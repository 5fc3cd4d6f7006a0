"""Serves `aura.users.v1.AccessService`."""

from __future__ import annotations

from uuid import UUID

from aura.kernel.interceptors.call import Context
from aura.users.api.presenters import authentication as presenters
from aura.users.services.access import AccessDirectory
from aura.users.services.signing_keys import SigningKeys
from generated.aura.users.v1 import access_service_pb2 as pb
from generated.aura.users.v1.access_service_pb2_grpc import AccessServiceServicer
from generated.aura.users.v1.json_web_key_pb2 import JsonWebKeySet


class AccessServicer(AccessServiceServicer):
    """Parses, calls, presents."""

    def __init__(self, *, access: AccessDirectory, keys: SigningKeys) -> None:
        self._access = access
        self._keys = keys

    async def ListVerificationKeys(self, request: pb.ListVerificationKeysRequest, context: Context) -> JsonWebKeySet:
        """Returns the public keys."""
        return JsonWebKeySet(keys=map(presenters.key_to_proto, await self._keys.published()))

    async def GetAccess(self, request: pb.GetAccessRequest, context: Context) -> pb.GetAccessResponse:
        """Returns what a caller is now."""
        if request.session_id:
            return presenters.access_to_proto(await self._access.of_session(UUID(request.session_id)))
        return presenters.access_to_proto(await self._access.of_client(UUID(request.client_id)))
