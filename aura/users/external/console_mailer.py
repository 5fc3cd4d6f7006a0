"""Shows messages where the server runs, in place of sending them: for development."""

from __future__ import annotations

import sys
from uuid import UUID

from aura.users.external.letters import letter
from aura.users.models.mail import AccountMail


class ConsoleMailer:
    """Prints messages."""

    def __init__(self, *, public_url: str) -> None:
        self._public_url = public_url

    async def send(self, mail_id: UUID, mail: AccountMail) -> None:
        """Prints a message, with its link; not to the log, which is kept."""
        written = letter(mail, self._public_url)
        indented = "\n".join(f"  | {line}" for line in written.text.splitlines())
        sys.stderr.write(f"\n  mail {mail_id} to {mail.email}: {written.subject}\n{indented}\n\n")
