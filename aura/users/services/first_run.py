"""What a server in development does the first time: somebody must be able to log in."""

from __future__ import annotations

import sys

from aura.kernel.account_settings import AccountSettings
from aura.users.errors import AdminExists, EmailTaken
from aura.users.models.user import Role
from aura.users.services.registration import RegistrationService

EMAIL, NAME = "admin@example.com", "First admin"


class FirstRun:
    """Creates an admin where there is none."""

    def __init__(self, *, registration: RegistrationService, settings: AccountSettings) -> None:
        self._registration = registration
        self._settings = settings

    async def run(self) -> None:
        """Creates the admin in development, and shows their password, this once."""
        if not self._settings.in_development:
            return
        try:
            _, password = await self._registration.create(
                email=EMAIL, display_name=NAME, roles=(Role.ADMIN,), password="", only_first_admin=True
            )
        except (AdminExists, EmailTaken):
            return
        sys.stderr.write(f"\n  first admin: {EMAIL}\n  password:    {password}\n  (shown this once)\n\n")
