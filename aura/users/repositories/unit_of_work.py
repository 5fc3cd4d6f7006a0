"""The module's unit of work, with its repositories on it."""

from __future__ import annotations

from aura.kernel.unit_of_work import UnitOfWork
from aura.users.repositories.accounts import AccountRepository
from aura.users.repositories.codes import CodeRepository
from aura.users.repositories.login_sessions import LoginSessionRepository
from aura.users.repositories.mail_queue import MailQueueRepository
from aura.users.repositories.service_clients import ServiceClientRepository
from aura.users.repositories.signing_keys import SigningKeyRepository
from aura.users.repositories.users import UserRepository


class UsersUnitOfWork(UnitOfWork):
    """A unit of work on users and their accounts."""

    @property
    def users(self) -> UserRepository:
        """The users, inside the transaction."""
        return UserRepository(self.execute)

    @property
    def accounts(self) -> AccountRepository:
        """The accounts, inside the transaction."""
        return AccountRepository(self.execute)

    @property
    def codes(self) -> CodeRepository:
        """The codes that are sent by mail, inside the transaction."""
        return CodeRepository(self.execute)

    @property
    def login_sessions(self) -> LoginSessionRepository:
        """The login sessions, inside the transaction."""
        return LoginSessionRepository(self.execute)

    @property
    def signing_keys(self) -> SigningKeyRepository:
        """The signing keys, inside the transaction."""
        return SigningKeyRepository(self.execute)

    @property
    def mail_queue(self) -> MailQueueRepository:
        """The messages that wait, inside the transaction."""
        return MailQueueRepository(self.execute)

    @property
    def service_clients(self) -> ServiceClientRepository:
        """The clients, inside the transaction."""
        return ServiceClientRepository(self.execute)
