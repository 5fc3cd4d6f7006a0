from __future__ import annotations

import asyncio
import uuid

import grpc
import pytest

from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1 import user_pb2
from generated.aura.users.v1 import user_service_pb2 as pb
from tests.support.failures import failure_of
from tests.support.platform import Platform


def request(**fields: object) -> pb.CreateUserRequest:
    profile = {"email": "ada@example.com", "display_name": "Ada", "roles": [ROLE_PATIENT]}
    return pb.CreateUserRequest(user=user_pb2.User(**{**profile, **fields}))


async def test_creates_and_returns_a_user(platform: Platform):
    created = await platform.users.CreateUser(
        request(
            email="Ada.Lovelace@Example.COM",
            display_name="Ada Lovelace",
            phone_number="+49 30 901820",
            roles=[ROLE_THERAPIST, ROLE_ADMIN],
            time_zone="Europe/Berlin",
            locale="DE-at",
        )
    )

    assert uuid.UUID(created.user_id).version == 7
    assert created.email == "Ada.Lovelace@example.com"
    assert created.phone_number == "+4930901820"
    assert created.locale == "de-AT"
    assert list(created.roles) == [ROLE_THERAPIST, ROLE_ADMIN]
    assert created.state == user_pb2.USER_STATE_ACTIVE
    assert created.create_time == created.update_time
    assert await platform.users.GetUser(pb.GetUserRequest(user_id=created.user_id)) == created


async def test_fills_in_the_defaults(platform: Platform):
    created = await platform.users.CreateUser(request())

    assert (created.time_zone, created.locale, created.phone_number) == ("UTC", "en", "")


async def test_ignores_output_only_fields(platform: Platform):
    created = await platform.users.CreateUser(
        request(user_id=str(uuid.uuid4()), state=user_pb2.USER_STATE_DEACTIVATED, etag="x")
    )

    assert uuid.UUID(created.user_id).version == 7
    assert created.state == user_pb2.USER_STATE_ACTIVE


async def test_refuses_an_email_taken_in_another_case(platform: Platform):
    await platform.users.CreateUser(request(email="STRASSE@example.com"))

    failure = await failure_of(platform.users.CreateUser(request(email="straße@EXAMPLE.com")))

    assert failure.code is grpc.StatusCode.ALREADY_EXISTS
    assert failure.reason == "EMAIL_TAKEN"
    assert failure.fields == ["user.email"]
    assert "example.com" not in failure.details


async def test_of_twenty_concurrent_creations_with_one_email_one_succeeds(platform: Platform):
    calls = [platform.users.CreateUser(request(display_name=f"Ada {number}")) for number in range(20)]

    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    codes = [outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert codes == [grpc.StatusCode.ALREADY_EXISTS] * 19


@pytest.mark.parametrize(
    ("fields", "path", "reason"),
    [
        ({"email": ""}, "user.email", "INVALID_REQUEST"),
        ({"email": "nobody"}, "user.email", "EMAIL_INVALID"),
        ({"email": "a@localhost"}, "user.email", "EMAIL_INVALID"),
        ({"email": "a" * 10_000}, "user.email", "INVALID_REQUEST"),
        ({"display_name": ""}, "user.display_name", "INVALID_REQUEST"),
        ({"display_name": "a" * 10_000}, "user.display_name", "INVALID_REQUEST"),
        ({"display_name": " Ada"}, "user.display_name", "INVALID_REQUEST"),
        ({"display_name": "Ada\x00"}, "user.display_name", "INVALID_REQUEST"),
        ({"roles": []}, "user.roles", "INVALID_REQUEST"),
        ({"roles": [0]}, "user.roles[0]", "INVALID_REQUEST"),
        ({"roles": [77]}, "user.roles[0]", "INVALID_REQUEST"),
        ({"roles": [ROLE_PATIENT, ROLE_PATIENT]}, "user.roles", "INVALID_REQUEST"),
        ({"phone_number": "12"}, "user.phone_number", "PHONE_NUMBER_INVALID"),
        ({"phone_number": "030 901820"}, "user.phone_number", "PHONE_NUMBER_INVALID"),
        ({"phone_number": "+49 30 \x00"}, "user.phone_number", "PHONE_NUMBER_INVALID"),
        ({"time_zone": "Mars/Olympus"}, "user.time_zone", "TIME_ZONE_UNKNOWN"),
        ({"time_zone": "../../etc/passwd"}, "user.time_zone", "TIME_ZONE_UNKNOWN"),
        ({"locale": "not a locale"}, "user.locale", "INVALID_REQUEST"),
    ],
)
async def test_refuses_bad_profiles_by_the_fields_path(platform: Platform, fields: dict, path: str, reason: str):
    failure = await failure_of(platform.users.CreateUser(request(**fields)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.reason == reason
    assert path in failure.fields


async def test_refuses_a_request_without_a_user(platform: Platform):
    failure = await failure_of(platform.users.CreateUser(pb.CreateUserRequest()))

    assert failure.fields == ["user"]


async def test_a_repeated_request_id_creates_one_user(platform: Platform):
    repeated = request()
    repeated.request_id = "first-try"

    users = await asyncio.gather(*(platform.users.CreateUser(repeated) for _ in range(10)))

    assert len({user.user_id for user in users}) == 1


async def test_refuses_a_request_id_with_another_body(platform: Platform):
    first = request()
    first.request_id = "once"
    await platform.users.CreateUser(first)
    second = request(email="other@example.com")
    second.request_id = "once"

    failure = await failure_of(platform.users.CreateUser(second))

    assert failure.code is grpc.StatusCode.ALREADY_EXISTS
    assert failure.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize("user_id", ["", "0", "not-a-uuid", "a" * 10_000])
async def test_refuses_malformed_ids(platform: Platform, user_id: str):
    failure = await failure_of(platform.users.GetUser(pb.GetUserRequest(user_id=user_id)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == ["user_id"]


async def test_does_not_find_an_unknown_user(platform: Platform):
    failure = await failure_of(platform.users.GetUser(pb.GetUserRequest(user_id=str(uuid.uuid4()))))

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.reason == "USER_NOT_FOUND"


async def test_returns_a_batch_in_the_order_asked_for(platform: Platform):
    users = [await platform.create_patient() for _ in range(5)]
    wanted = [user.user_id for user in reversed(users)]

    response = await platform.users.BatchGetUsers(pb.BatchGetUsersRequest(user_ids=wanted))

    assert [user.user_id for user in response.users] == wanted


async def test_a_batch_with_unknown_ids_names_them_and_returns_none(platform: Platform):
    known, unknown = (await platform.create_patient()).user_id, [str(uuid.uuid4()), str(uuid.uuid4())]

    failure = await failure_of(platform.users.BatchGetUsers(pb.BatchGetUsersRequest(user_ids=[known, *unknown])))

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.error.metadata == {"user_ids": ", ".join(unknown)}


@pytest.mark.parametrize("user_ids", [[], ["x"], [str(uuid.UUID(int=0))] * 2, [str(uuid.uuid4())] * 1001])
async def test_refuses_bad_batches(platform: Platform, user_ids: list[str]):
    failure = await failure_of(platform.users.BatchGetUsers(pb.BatchGetUsersRequest(user_ids=user_ids)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields[0].startswith("user_ids")
