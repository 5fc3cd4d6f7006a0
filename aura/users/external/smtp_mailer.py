"""Hands messages to a mail server by SMTP (RFC 5321)."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib
import email_validator

from aura.users.external.letters import letter
from aura.users.models.mail import AccountMail
from aura.users.services.account_mailer import MailNotSent

TIMEOUT_SECONDS = 8.0
"""For all steps together, which must be done before the event that has the message sent is given up."""
PERMANENT = 500
"""From here on, an answer says that trying again is of no use (RFC 5321, 4.2.1)."""
PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, kw_only=True)
class SmtpServer:
    """A mail server, and who we are to it.

    Attributes:
        starttls: Whether the connection must be encrypted once it stands; one that begins encrypted is `tls`.
    """

    host: str
    port: int
    user: str
    password: str
    tls: bool
    starttls: bool

    @classmethod
    def parse(cls, url: str) -> SmtpServer:
        """Returns the server that a URL names, as `smtps://user:password@host:465`.

        `smtp://` asks for STARTTLS, `smtp+plain://` for no encryption at all.
        """
        parts = urlsplit(url)
        scheme, _, plain = parts.scheme.partition("+")
        return cls(
            host=parts.hostname or "localhost",
            port=parts.port or (25 if plain else PORTS[scheme]),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            tls=scheme == "smtps",
            starttls=scheme == "smtp" and not plain,
        )


class SmtpMailer:
    """Sends each message on a connection of its own."""

    def __init__(self, *, server: SmtpServer, sender: str, public_url: str) -> None:
        self._server = server
        self._sender = sender
        self._public_url = public_url

    async def send(self, mail_id: UUID, mail: AccountMail) -> None:
        """Hands a message over; its Message-ID is the same if it is sent twice, so that readers show it once.

        Raises:
            MailNotSent: The mail server did not take it; if it says never to, the error is marked as final.
        """
        written, server = letter(mail, self._public_url), self._server
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, sendable(mail.email), written.subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{mail_id}@{self._sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(written.text)
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user or None,
            password=server.password or None,
            use_tls=server.tls,
            start_tls=server.starttls,
            tls_context=ssl.create_default_context() if server.tls or server.starttls else None,
            timeout=TIMEOUT_SECONDS,
        )
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await client.connect()
                await client.send_message(message)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            # Its text may hold the address.
            raise MailNotSent(type(error).__name__, is_final=_is_final(error)) from error
        finally:
            client.close()  # without QUIT: what the server has taken is sent, whatever becomes of the connection


def sendable(address: str) -> str:
    """Returns an address in a form that every mail server takes, if it has one: with its domain in ASCII (RFC 5890)."""
    return email_validator.validate_email(address, check_deliverability=False).ascii_email or address


def _is_final(error: Exception) -> bool:
    """Returns whether the server will never take this message; what it says of us or of itself may change."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return all(each.code >= PERMANENT for each in error.recipients)
    return isinstance(error, aiosmtplib.SMTPDataError) and error.code >= PERMANENT
