"""What messages to users say."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from aura.users.models.mail import AccountMail, MailKind


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A message's subject and text."""

    subject: str
    text: str


def letter(mail: AccountMail, public_url: str) -> Letter:
    """Returns what a message says. Codes are in the fragment of a link, which browsers send to no server."""
    fragment = urlencode({"email": mail.email, "code": mail.code})
    match mail.kind:
        case MailKind.VERIFY_EMAIL:
            return Letter(
                subject="Confirm your e-mail address",
                text=(
                    "Somebody, probably you, asked for an account with this address. To get it, open\n\n"
                    f"{public_url}/verify-email#{fragment}\n\n"
                    f"or enter this code within 24 hours: {mail.code}\n\n"
                    "If it was not you, do nothing: there will be no account."
                ),
            )
        case MailKind.CHANGE_EMAIL:
            return Letter(
                subject="Confirm your new e-mail address",
                text=(
                    "Somebody, probably you, wants to use this address for their account. To do so, open\n\n"
                    f"{public_url}/confirm-email-change#{fragment}\n\n"
                    f"or enter this code within 24 hours: {mail.code}\n\n"
                    "If it was not you, do nothing: nobody will use it."
                ),
            )
        case MailKind.EMAIL_CHANGED:
            return Letter(
                subject="Your e-mail address was changed",
                text=(
                    "Your account has another e-mail address now, and this one is not used for it any more.\n\n"
                    f"If it was not you, get in touch at once: {public_url}/help"
                ),
            )
        case MailKind.RESET_PASSWORD:
            return Letter(
                subject="Choose a new password",
                text=(
                    "Somebody, probably you, wants to choose a new password. To do so, open\n\n"
                    f"{public_url}/reset-password#{fragment}\n\n"
                    f"or enter this code within 10 minutes: {mail.code}\n\n"
                    "If it was not you, do nothing: your password stays as it is."
                ),
            )
        case MailKind.ACCOUNT_EXISTS:
            return Letter(
                subject="You have an account already",
                text=(
                    "Somebody, probably you, asked for an account with this address, but there is one already.\n"
                    f"Log in, or ask for a new password: {public_url}/login\n\n"
                    "If it was not you, do nothing."
                ),
            )
        case MailKind.PASSWORD_CHANGED:
            return Letter(
                subject="Your password was changed",
                text=(
                    "Your password was changed, and you were logged out everywhere.\n\n"
                    f"If it was not you, choose a new password at once: {public_url}/forgot-password"
                ),
            )
