"""A platform whose mail and clock tests hold in their hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from generated.aura.users.v1 import authentication_service_pb2 as pb
from tests.support.accounts import PASSWORD, FakeMailer, set_password
from tests.support.platform import Platform, running_platform

QUICK = {"password_memory_kib": 8192, "rate_limit_per_peer": 0, "rate_limit_per_account": 0}
SignIn = Callable[..., Awaitable[pb.TokenPair]]


@pytest.fixture
def mailer() -> FakeMailer:
    return FakeMailer()


@pytest.fixture
async def accounts(database_url: URL, tmp_path: Path, mailer: FakeMailer) -> AsyncIterator[Platform]:
    async with running_platform(database_url, tmp_path, overrides=mailer.providers(), **QUICK) as platform:
        yield platform


@pytest.fixture
def sign_in(accounts: Platform, database_url: URL) -> SignIn:
    """Makes a user with a password, logs them in, and returns the tokens."""

    async def make(*roles: int, **fields: Any) -> pb.TokenPair:
        user = await accounts.create_user(*roles or (1,), **fields)
        await set_password(database_url, user.user_id)
        return await accounts.accounts.Login(pb.LoginRequest(email=user.email, password=PASSWORD))

    return make
