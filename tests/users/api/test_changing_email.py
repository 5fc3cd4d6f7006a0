"""How users change their e-mail address, and that a stolen token is not enough for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import URL

from aura.users.models.codes import EMAIL_CHANGE_LIFETIME
from aura.users.models.mail import MailKind
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.user_service_pb2 import GetUserRequest, UpdateUserRequest
from tests.support.accounts import PASSWORD, FakeMailer, audited, bearer
from tests.support.failures import failure_of
from tests.support.platform import Platform
from tests.support.services import eventually
from tests.users.api.conftest import SignIn

OLD, NEW = "ada@example.com", "countess@example.com"


class Ada:
    """A user who is logged in."""

    def __init__(self, platform: Platform, tokens: pb.TokenPair) -> None:
        self.platform = platform
        self.user_id = tokens.user_id
        self.token = bearer(tokens.access_token)

    def request(self, email: str = NEW, password: str = PASSWORD) -> Any:
        request = pb.RequestEmailChangeRequest(password=password, new_email=email)
        return self.platform.accounts.RequestEmailChange(request, metadata=self.token)

    def confirm(self, code: str) -> Any:
        return self.platform.accounts.ConfirmEmailChange(pb.ConfirmEmailChangeRequest(code=code), metadata=self.token)

    async def email(self) -> str:
        user = await self.platform.users.GetUser(GetUserRequest(user_id=self.user_id), metadata=self.token)
        return str(user.email)

    def login(self, email: str) -> Any:
        return self.platform.accounts.Login(pb.LoginRequest(email=email, password=PASSWORD))


@pytest.fixture
async def ada(accounts: Platform, sign_in: SignIn) -> Ada:
    return Ada(accounts, await sign_in(email=OLD))


async def test_it_is_changed_once_the_new_one_is_known_to_be_theirs(ada: Ada, mailer: FakeMailer, database_url: URL):
    await ada.request()
    await eventually(lambda: len(mailer.sent) == 1)
    before = await ada.email()
    await ada.confirm(mailer.code(NEW))
    await eventually(lambda: len(mailer.sent) == 2)

    assert (before, await ada.email()) == (OLD, NEW)
    assert [(mail.kind, mail.email) for mail in mailer.sent] == [
        (MailKind.CHANGE_EMAIL, NEW),
        (MailKind.EMAIL_CHANGED, OLD),
    ]
    assert await ada.login(NEW)
    assert (await failure_of(ada.login(OLD))).reason == "CREDENTIALS_INVALID"
    assert (await failure_of(ada.confirm(mailer.code(NEW)))).reason == "CODE_INVALID"
    assert [subject for action, subject, _ in await audited(database_url) if action == "email.changed"] == [ada.user_id]


async def test_a_stolen_token_is_not_enough(ada: Ada, mailer: FakeMailer):
    request = UpdateUserRequest(user={"user_id": ada.user_id, "email": NEW}, update_mask={"paths": ["email"]})

    update = await failure_of(ada.platform.users.UpdateUser(request, metadata=ada.token))
    guess = await failure_of(ada.request(password="wrong"))
    anonymous = pb.RequestEmailChangeRequest(password=PASSWORD, new_email=NEW)
    nobody = await failure_of(ada.platform.accounts.RequestEmailChange(anonymous))

    assert (update.reason, guess.reason) == ("EMAIL_PROOF_REQUIRED", "CREDENTIALS_INVALID")
    assert nobody.reason == "ACCESS_TOKEN_MISSING"
    assert (await ada.email(), mailer.sent) == (OLD, [])


async def test_users_may_send_their_own_address_unchanged(ada: Ada):
    request = UpdateUserRequest(user={"user_id": ada.user_id, "email": OLD, "display_name": "Countess"})

    assert (await ada.platform.users.UpdateUser(request, metadata=ada.token)).display_name == "Countess"


async def test_the_old_address_is_told_where_an_admin_changes_it(ada: Ada, mailer: FakeMailer):
    request = UpdateUserRequest(user={"user_id": ada.user_id, "email": NEW}, update_mask={"paths": ["email"]})
    await ada.platform.users.UpdateUser(request)
    await eventually(lambda: len(mailer.sent) == 1)

    assert [(mail.kind, mail.email) for mail in mailer.sent] == [(MailKind.EMAIL_CHANGED, OLD)]


async def test_a_reset_code_for_the_old_address_is_good_for_nothing_afterwards(ada: Ada, mailer: FakeMailer):
    await ada.platform.accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=OLD))
    await ada.request()
    await eventually(lambda: len(mailer.sent) == 2)
    await ada.confirm(mailer.code(NEW))

    for email in (OLD, NEW):
        request = pb.ResetPasswordRequest(email=email, code=mailer.code(OLD), new_password="a quiet lake")
        assert (await failure_of(ada.platform.accounts.ResetPassword(request))).reason == "CODE_INVALID"


async def test_an_address_that_has_an_account_is_told_and_nobody_learns_it(ada: Ada, mailer: FakeMailer):
    await ada.platform.create_user(1, email=NEW)

    assert await ada.request() == pb.RequestEmailChangeResponse()
    await eventually(lambda: len(mailer.sent) == 1)

    assert [(mail.kind, mail.email, mail.code) for mail in mailer.sent] == [(MailKind.ACCOUNT_EXISTS, NEW, "")]


async def test_an_address_that_got_an_account_meanwhile_is_not_taken(ada: Ada, mailer: FakeMailer):
    await ada.request()
    await eventually(lambda: len(mailer.sent) == 1)
    await ada.platform.create_user(1, email=NEW)

    assert (await failure_of(ada.confirm(mailer.code(NEW)))).reason == "CODE_INVALID"
    assert await ada.email() == OLD


async def test_a_code_is_its_users_and_good_for_a_day(
    ada: Ada, accounts: Platform, sign_in: SignIn, mailer: FakeMailer
):
    bob = Ada(accounts, await sign_in(email="bob@example.com"))
    await ada.request()
    await eventually(lambda: len(mailer.sent) == 1)

    others = await failure_of(bob.confirm(mailer.code(NEW)))
    accounts.clock.advance(EMAIL_CHANGE_LIFETIME + timedelta(seconds=1))
    late = await failure_of(Ada(accounts, await ada.login(OLD)).confirm(mailer.code(NEW)))

    assert others.reason == late.reason == "CODE_INVALID"


async def test_an_address_that_is_none_is_refused(ada: Ada):
    failure = await failure_of(ada.request("countess.example.com"))

    assert (failure.reason, failure.fields) == ("EMAIL_INVALID", ["new_email"])
