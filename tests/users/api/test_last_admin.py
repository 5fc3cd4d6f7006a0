"""The last admin stays."""

from __future__ import annotations

import asyncio

from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_SUPPORT
from generated.aura.users.v1.user_service_pb2 import DeactivateUserRequest, RevokeRoleRequest
from tests.support.failures import failure_of
from tests.support.platform import Platform


async def test_the_last_active_admin_cannot_be_removed(platform: Platform):
    last, gone = await platform.create_user(ROLE_ADMIN, ROLE_SUPPORT), await platform.create_user(ROLE_ADMIN)
    await platform.users.DeactivateUser(DeactivateUserRequest(user_id=gone.user_id, reason="left"))

    revoke = RevokeRoleRequest(user_id=last.user_id, role=ROLE_ADMIN, reason="no more")
    deactivate = DeactivateUserRequest(user_id=last.user_id, reason="left")

    assert (await failure_of(platform.users.RevokeRole(revoke))).reason == "LAST_ADMIN"
    assert (await failure_of(platform.users.DeactivateUser(deactivate))).reason == "LAST_ADMIN"
    await platform.create_user(ROLE_ADMIN)
    assert ROLE_ADMIN not in (await platform.users.RevokeRole(revoke)).roles


async def test_admins_who_remove_each_other_at_once_do_not_both_succeed(platform: Platform):
    left = await platform.create_user(ROLE_ADMIN)
    for _ in range(5):
        pair = [left, await platform.create_user(ROLE_ADMIN)]
        requests = [DeactivateUserRequest(user_id=each.user_id, reason="coup") for each in pair]

        codes = await asyncio.gather(*(platform.users.DeactivateUser(request).code() for request in requests))

        assert sorted(code.name for code in codes) == ["FAILED_PRECONDITION", "OK"]
        left = next(user for user, code in zip(pair, codes, strict=True) if code.name != "OK")
