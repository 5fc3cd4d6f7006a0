"""What is handed to a mail server, and what its answers mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.controller import Controller

from aura.users.external import smtp_mailer
from aura.users.external.smtp_mailer import SmtpMailer, SmtpServer, sendable
from aura.users.models.mail import AccountMail, MailKind
from aura.users.services.account_mailer import MailNotSent
from tests.support.ports import free_port

MAIL_ID = UUID("01900000-0000-7000-8000-000000000000")


class Answers:
    """A mail server's answers, and how long it thinks."""

    def __init__(self) -> None:
        self.to_recipient, self.to_message, self.seconds = "250 OK", "250 OK", 0.0

    async def handle_RCPT(self, *arguments: Any) -> str:  # noqa: N802 its library's name
        _, _, envelope, address, _ = arguments
        await asyncio.sleep(self.seconds)
        envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(self, *_: Any) -> str:  # noqa: N802 likewise
        return self.to_message


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def mailer(answers: Answers) -> Iterator[SmtpMailer]:
    controller = Controller(answers, hostname="127.0.0.1", port=free_port())
    controller.start()
    server = SmtpServer.parse(f"smtp+plain://127.0.0.1:{controller.port}")
    yield SmtpMailer(server=server, sender="Aura <aura@example.com>", public_url="https://example.com")
    controller.stop()


def send(mailer: SmtpMailer) -> Any:
    return mailer.send(MAIL_ID, AccountMail(kind=MailKind.PASSWORD_CHANGED, email="ada@example.com"))


@pytest.mark.parametrize(
    ("to_recipient", "to_message", "is_final"),
    [
        ("550 no such user", "250 OK", True),
        ("450 try again", "250 OK", False),
        ("250 OK", "554 looks like spam", True),
        ("250 OK", "452 disk full", False),
    ],
)
async def test_who_is_refused_for_good_is_not_tried_again(
    mailer: SmtpMailer,
    answers: Answers,
    to_recipient: str,
    to_message: str,
    is_final: bool,  # noqa: FBT001 an expectation
):
    answers.to_recipient, answers.to_message = to_recipient, to_message

    with pytest.raises(MailNotSent) as refused:
        await send(mailer)

    assert refused.value.is_final is is_final
    assert "ada" not in str(refused.value)


async def test_a_mail_server_that_is_slow_in_all_is_given_up(
    mailer: SmtpMailer, answers: Answers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(smtp_mailer, "TIMEOUT_SECONDS", 0.3)
    answers.seconds = 5.0

    with pytest.raises(MailNotSent) as late:
        await asyncio.wait_for(send(mailer), 3)

    assert not late.value.is_final


async def test_a_message_that_was_taken_is_sent(mailer: SmtpMailer):
    await send(mailer)


@pytest.mark.parametrize(
    ("address", "sent_to"),
    [
        ("ada@example.com", "ada@example.com"),
        ("ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
        ("ädä@bücher.example.com", "ädä@bücher.example.com"),
    ],
)
def test_domains_are_sent_in_ascii_where_the_whole_address_can_be(address: str, sent_to: str):
    assert sendable(address) == sent_to
