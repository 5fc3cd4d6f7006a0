"""What an operator chose about accounts: all that a module gets to see of the settings."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """How accounts are dealt with.

    Attributes:
        in_development: Whether the server is a developer's, who must be able to log in.
        public_url: Where people find the product; links in mails begin with it.
        smtp_url: The mail server; None: mails are shown where the server runs.
        mail_from: The sender of mails.
        password_memory_kib: How much memory each hash of a password takes, in KiB.
        password_passes: How often a hash goes through that memory.
    """

    in_development: bool
    public_url: str
    smtp_url: str | None = field(repr=False)
    mail_from: str
    password_memory_kib: int
    password_passes: int
