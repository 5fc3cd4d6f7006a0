"""Hands messages to a mail server by SMTP (RFC 5321)."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib

from aura.users.external.letters import letter
from aura.users.models.mail import AccountMail
from aura.users.services.account_mailer import MailNotSent

TIMEOUT_SECONDS = 5.0
"""For each step; all must be done before the event that has the message sent is given up."""
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
            MailNotSent: The mail server did not take it.
        """
        written, server = letter(mail, self._public_url), self._server
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._sender, mail.email, written.subject
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{mail_id}@{self._sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(written.text)
        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                username=server.user or None,
                password=server.password or None,
                use_tls=server.tls,
                start_tls=server.starttls,
                tls_context=ssl.create_default_context() if server.tls or server.starttls else None,
                timeout=TIMEOUT_SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            raise MailNotSent(type(error).__name__) from error  # its text may hold the address
