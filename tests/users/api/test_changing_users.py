from __future__ import annotations

import asyncio
import uuid

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_PATIENT, ROLE_SUPPORT
from generated.aura.users.v1 import user_pb2
from generated.aura.users.v1 import user_service_pb2 as pb
from tests.support.failures import failure_of
from tests.support.platform import Platform


@pytest.fixture
async def ada(platform: Platform) -> user_pb2.User:
    return await platform.create_patient(
        email="ada@example.com", display_name="Ada", phone_number="+4930901820", time_zone="Europe/Berlin", locale="de"
    )


def update(user: user_pb2.User, *paths: str, etag: str = "", **fields: str) -> pb.UpdateUserRequest:
    values = user_pb2.User(user_id=user.user_id, etag=etag, **fields)
    return pb.UpdateUserRequest(user=values, update_mask=FieldMask(paths=paths) if paths else None)


async def test_changes_the_fields_that_the_mask_names_only(platform: Platform, ada: user_pb2.User):
    changed = await platform.users.UpdateUser(update(ada, "display_name", display_name="Ada L.", locale="fr"))

    assert (changed.display_name, changed.locale) == ("Ada L.", "de")
    assert changed.etag != ada.etag
    assert changed.create_time == ada.create_time
    assert await platform.users.GetUser(pb.GetUserRequest(user_id=ada.user_id)) == changed


async def test_without_a_mask_changes_the_fields_that_are_set(platform: Platform, ada: user_pb2.User):
    changed = await platform.users.UpdateUser(update(ada, email="ADA2@example.com", time_zone="UTC"))

    assert (changed.email, changed.time_zone, changed.display_name) == ("ADA2@example.com", "UTC", "Ada")


async def test_a_star_replaces_all_that_can_be_changed(platform: Platform, ada: user_pb2.User):
    changed = await platform.users.UpdateUser(update(ada, "*", email="ada@example.com", display_name="Ada"))

    assert (changed.phone_number, changed.time_zone, changed.locale) == ("", "UTC", "en")
    assert list(changed.roles) == [ROLE_PATIENT]


async def test_a_named_empty_field_is_emptied(platform: Platform, ada: user_pb2.User):
    changed = await platform.users.UpdateUser(update(ada, "phone_number"))

    assert changed.phone_number == ""


@pytest.mark.parametrize("path", ["roles", "state", "user_id", "etag", "nothing", "email.local", "", "x" * 10_000])
async def test_refuses_masks_that_name_anything_else(platform: Platform, ada: user_pb2.User, path: str):
    failure = await failure_of(platform.users.UpdateUser(update(ada, "email", path, email="new@example.com")))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == "UPDATE_MASK_INVALID"
    assert failure.fields == ["update_mask"]
    assert await platform.users.GetUser(pb.GetUserRequest(user_id=ada.user_id)) == ada


@pytest.mark.parametrize(
    ("paths", "fields", "path"),
    [
        (["display_name"], {}, "user.display_name"),
        (["*"], {"email": "a@example.com"}, "user.display_name"),
        (["email"], {}, "user.email"),
        (["email"], {"email": "nobody"}, "user.email"),
        (["time_zone"], {"time_zone": "Mars"}, "user.time_zone"),
    ],
)
async def test_refuses_bad_values(platform: Platform, ada: user_pb2.User, paths: list, fields: dict, path: str):
    failure = await failure_of(platform.users.UpdateUser(update(ada, *paths, **fields)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == [path]


async def test_refuses_another_users_email(platform: Platform, ada: user_pb2.User):
    await platform.create_patient(email="taken@example.com")

    failure = await failure_of(platform.users.UpdateUser(update(ada, email="TAKEN@example.com")))

    assert failure.reason == "EMAIL_TAKEN"


async def test_a_stale_etag_is_refused_and_a_current_one_is_not(platform: Platform, ada: user_pb2.User):
    changed = await platform.users.UpdateUser(update(ada, etag=ada.etag, display_name="One"))

    failure = await failure_of(platform.users.UpdateUser(update(ada, etag=ada.etag, display_name="Two")))

    assert failure.code is grpc.StatusCode.ABORTED
    assert failure.reason == "ETAG_MISMATCH"
    assert (await platform.users.UpdateUser(update(ada, etag=changed.etag, display_name="Two"))).display_name == "Two"


async def test_of_ten_concurrent_changes_with_one_etag_one_succeeds(platform: Platform, ada: user_pb2.User):
    calls = [platform.users.UpdateUser(update(ada, etag=ada.etag, display_name=f"Ada {n}")) for n in range(10)]

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(outcome, user_pb2.User) for outcome in outcomes) == 1


async def test_does_not_update_an_unknown_user(platform: Platform):
    unknown = user_pb2.User(user_id=str(uuid.uuid4()))

    failure = await failure_of(platform.users.UpdateUser(update(unknown, display_name="x")))

    assert failure.reason == "USER_NOT_FOUND"


async def test_a_user_without_id_is_refused(platform: Platform):
    failure = await failure_of(platform.users.UpdateUser(update(user_pb2.User(), display_name="x")))

    assert failure.fields == ["user.user_id"]


async def test_deactivates_and_reactivates(platform: Platform, ada: user_pb2.User):
    asked = {"user_id": ada.user_id, "reason": "left the clinic"}
    deactivated = await platform.users.DeactivateUser(pb.DeactivateUserRequest(**asked))
    again = await failure_of(platform.users.DeactivateUser(pb.DeactivateUserRequest(**asked)))
    reactivated = await platform.users.ReactivateUser(pb.ReactivateUserRequest(**asked))

    assert deactivated.state == user_pb2.USER_STATE_DEACTIVATED
    assert (again.code, again.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "USER_STATE_UNCHANGED")
    assert reactivated.state == user_pb2.USER_STATE_ACTIVE


async def test_a_deactivated_person_cannot_be_booked(platform: Platform):
    request = await platform.booking()
    await platform.users.DeactivateUser(pb.DeactivateUserRequest(user_id=request.therapist_id, reason="left"))

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    assert failure.reason == "PARTICIPANT_INACTIVE"
    assert failure.error.metadata == {"participant": "therapist"}


async def test_grants_and_revokes_roles(platform: Platform, ada: user_pb2.User):
    def asked(role: int) -> dict:
        return {"user_id": ada.user_id, "role": role, "reason": "new job"}

    granted = await platform.users.GrantRole(pb.GrantRoleRequest(**asked(ROLE_SUPPORT)))
    held = await failure_of(platform.users.GrantRole(pb.GrantRoleRequest(**asked(ROLE_SUPPORT))))
    revoked = await platform.users.RevokeRole(pb.RevokeRoleRequest(**asked(ROLE_PATIENT)))
    not_held = await failure_of(platform.users.RevokeRole(pb.RevokeRoleRequest(**asked(ROLE_ADMIN))))
    last = await failure_of(platform.users.RevokeRole(pb.RevokeRoleRequest(**asked(ROLE_SUPPORT))))

    assert list(granted.roles) == [ROLE_PATIENT, ROLE_SUPPORT]
    assert list(revoked.roles) == [ROLE_SUPPORT]
    assert [failure.reason for failure in (held, not_held, last)] == ["ROLE_HELD", "ROLE_NOT_HELD", "LAST_ROLE"]


@pytest.mark.parametrize("change", [{"reason": ""}, {"reason": "x" * 10_000}, {"role": 0}, {"role": 77}])
async def test_refuses_bad_grants(platform: Platform, ada: user_pb2.User, change: dict):
    asked = {"user_id": ada.user_id, "role": ROLE_ADMIN, "reason": "new job", **change}

    failure = await failure_of(platform.users.GrantRole(pb.GrantRoleRequest(**asked)))

    assert failure.fields == list(change)


async def test_a_repeated_change_is_made_once(platform: Platform, ada: user_pb2.User):
    request = pb.GrantRoleRequest(user_id=ada.user_id, role=ROLE_ADMIN, reason="new job", request_id="grant-1")

    users = await asyncio.gather(*(platform.users.GrantRole(request) for _ in range(5)))

    assert {user.etag for user in users} == {"2"}


async def test_every_change_is_in_the_history(platform: Platform, ada: user_pb2.User, users_database):
    await platform.users.UpdateUser(update(ada, display_name="Ada L."))
    await platform.users.GrantRole(pb.GrantRoleRequest(user_id=ada.user_id, role=ROLE_ADMIN, reason="new job"))

    async with users_database.read() as connection:
        found = await connection.exec_driver_sql(
            "SELECT kind, role, actor, reason FROM users.user_changes ORDER BY version"
        )
        history = [tuple(row) for row in found]

    assert history == [
        ("CREATED", None, "local", ""),
        ("UPDATED", None, "local", ""),
        ("ROLE_GRANTED", "ADMIN", "local", "new job"),
    ]
