from __future__ import annotations

import random
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import URL

from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_PATIENT, ROLE_THERAPIST
from generated.aura.users.v1 import user_pb2
from generated.aura.users.v1 import user_service_pb2 as pb
from tests.support.failures import failure_of
from tests.support.platform import Platform, running_platform

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ["Ada", "ada Lovelace", "ÅSA", "Zoë", "Bob", "bob%", "bob_", "Straße", "STRASSE 2", "李雷", "Émile", "O'Neill"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared_platform: Platform) -> list[user_pb2.User]:
    return await populate(shared_platform)


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


async def populate(platform: Platform) -> list[user_pb2.User]:
    dice = random.Random(3)
    return [
        await platform.create_user(
            *dice.choice([(ROLE_PATIENT,), (ROLE_THERAPIST,), (ROLE_PATIENT, ROLE_ADMIN)]),
            display_name=name,
            email=f"{dice.choice(['Anna', 'anna', 'Ben', 'x_y', 'x%y'])}.{number}@example.com",
        )
        for number, name in enumerate(NAMES * 3)
    ]


async def all_pages(platform: Platform, **fields: object) -> list[user_pb2.User]:
    request, users = pb.ListUsersRequest(page_size=5, **fields), []
    while True:
        page = await platform.users.ListUsers(request)
        users += page.users
        request.page_token = page.next_page_token
        if not request.page_token:
            return users


ORDERS = {
    "CREATE_TIME": (lambda user: (user.create_time.ToNanoseconds(), user.user_id), False),
    "CREATE_TIME_DESCENDING": (lambda user: (user.create_time.ToNanoseconds(), user.user_id), True),
    "DISPLAY_NAME": (lambda user: (user.display_name.casefold(), user.user_id), False),
    "EMAIL": (lambda user: (user.email.casefold(), user.user_id), False),
}


@pytest.mark.parametrize("order", ORDERS)
async def test_lists_all_in_every_order(platform: Platform, people: list[user_pb2.User], order: str):
    key, descending = ORDERS[order]

    listed = await all_pages(platform, order_by=f"USER_ORDER_{order}")

    assert listed == sorted(people, key=key, reverse=descending)


@pytest.mark.parametrize(
    "prefix", ["a", "ADA", "ada l", "bob", "bob%", "bob_", "%", "_", "stras", "é", "李", "o'n", "zzz"]
)
async def test_finds_by_the_beginning_of_the_name(platform: Platform, people: list[user_pb2.User], prefix: str):
    listed = await all_pages(platform, display_name_prefix=prefix)

    expected = {user.user_id for user in people if user.display_name.casefold().startswith(prefix.casefold())}
    assert {user.user_id for user in listed} == expected


@pytest.mark.parametrize("prefix", ["ANNA", "anna.1", "x_", "x%", "%", "nobody"])
async def test_finds_by_the_beginning_of_the_email(platform: Platform, people: list[user_pb2.User], prefix: str):
    listed = await all_pages(platform, email_prefix=prefix)

    expected = {user.user_id for user in people if user.email.casefold().startswith(prefix.casefold())}
    assert {user.user_id for user in listed} == expected


@pytest.mark.parametrize("role", [ROLE_PATIENT, ROLE_THERAPIST, ROLE_ADMIN])
async def test_finds_by_role_and_state(database_url: URL, tmp_path: Path, role: int):
    async with running_platform(database_url, tmp_path) as platform:
        people = await populate(platform)
        gone = next(user for user in people if role in user.roles)
        await platform.users.DeactivateUser(pb.DeactivateUserRequest(user_id=gone.user_id, reason="left"))

        listed = await all_pages(platform, role=role, state=user_pb2.USER_STATE_ACTIVE)

    expected = {user.user_id for user in people if role in user.roles} - {gone.user_id}
    assert {user.user_id for user in listed} == expected


async def test_a_token_of_another_query_is_refused(platform: Platform, people: list[user_pb2.User]):
    page = await platform.users.ListUsers(pb.ListUsersRequest(page_size=5))

    failure = await failure_of(
        platform.users.ListUsers(pb.ListUsersRequest(page_token=page.next_page_token, role=ROLE_ADMIN))
    )

    assert failure.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize("page_size", [-1, -(2**31)])
async def test_refuses_a_negative_page_size(platform: Platform, page_size: int):
    failure = await failure_of(platform.users.ListUsers(pb.ListUsersRequest(page_size=page_size)))

    assert failure.fields == ["page_size"]


async def test_takes_a_huge_page_size_as_the_largest(platform: Platform, people: list[user_pb2.User]):
    page = await platform.users.ListUsers(pb.ListUsersRequest(page_size=2**31 - 1))

    assert len(page.users) == len(people)
