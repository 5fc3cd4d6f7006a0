"""What is done to users is in the module's audit trail: ids and roles, and nothing that anybody wrote."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import URL

from aura.kernel.database import sync_url
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_SUPPORT, ROLE_THERAPIST
from generated.aura.users.v1 import user_service_pb2 as pb
from generated.aura.users.v1.user_pb2 import User
from tests.support.accounts import audited
from tests.support.failures import failure_of
from tests.support.platform import Platform

REASON = "Ada told me that she cannot sleep"


@pytest.fixture
async def ada(platform: Platform) -> User:
    return await platform.create_user(ROLE_PATIENT, ROLE_THERAPIST, email="ada@example.com", display_name="Ada")


async def test_every_change_of_a_user_is_written_down(platform: Platform, ada: User, database_url: URL):
    changes = {"user_id": ada.user_id, "reason": REASON}
    await platform.users.UpdateUser(pb.UpdateUserRequest(user=User(user_id=ada.user_id, display_name="Ada L.")))
    await platform.users.GrantRole(pb.GrantRoleRequest(role=ROLE_SUPPORT, **changes))
    await platform.users.RevokeRole(pb.RevokeRoleRequest(role=ROLE_THERAPIST, **changes))
    await platform.users.DeactivateUser(pb.DeactivateUserRequest(**changes))
    await platform.users.ReactivateUser(pb.ReactivateUserRequest(**changes))

    found = await audited(database_url)

    assert found == [
        ("user.created", ada.user_id, {"roles": "ROLE_PATIENT, ROLE_THERAPIST"}),
        ("user.updated", ada.user_id, {}),
        ("user.role_granted", ada.user_id, {"role": "ROLE_SUPPORT"}),
        ("user.role_revoked", ada.user_id, {"role": "ROLE_THERAPIST"}),
        ("user.deactivated", ada.user_id, {}),
        ("user.reactivated", ada.user_id, {}),
    ]


async def test_nothing_that_was_refused_is_written_down_as_done(platform: Platform, ada: User, database_url: URL):
    request = pb.GrantRoleRequest(user_id=ada.user_id, role=ROLE_PATIENT, reason=REASON)

    failure = await failure_of(platform.users.GrantRole(request))

    assert failure.reason == "ROLE_HELD"
    assert [action for action, _, _ in await audited(database_url)] == ["user.created"]


async def test_a_repeated_request_is_written_down_once(platform: Platform, ada: User, database_url: URL):
    request = pb.GrantRoleRequest(user_id=ada.user_id, role=ROLE_SUPPORT, reason=REASON, request_id="grant-1")

    for _ in range(2):
        await platform.users.GrantRole(request)

    assert [action for action, _, _ in await audited(database_url)] == ["user.created", "user.role_granted"]


async def test_without_an_entry_nothing_changes(platform: Platform, ada: User, database_url: URL):
    connection = await asyncpg.connect(sync_url(database_url))
    await connection.execute("REVOKE INSERT ON users.audit FROM aura_users")
    await connection.close()

    failure = await failure_of(
        platform.users.GrantRole(pb.GrantRoleRequest(user_id=ada.user_id, role=ROLE_SUPPORT, reason=REASON))
    )

    assert failure.reason == "INTERNAL"
    found = await platform.users.GetUser(pb.GetUserRequest(user_id=ada.user_id))
    assert list(found.roles) == [ROLE_PATIENT, ROLE_THERAPIST]
