"""The users module's one door."""

from __future__ import annotations

from collections.abc import Sequence

from dishka import Provider, Scope, provide

from aura.kernel.account_settings import AccountSettings
from aura.kernel.clock import Clock
from aura.kernel.database import Database
from aura.kernel.events.bus import EventBus
from aura.kernel.module import ServiceRegistrar
from aura.kernel.security.module_secrets import ModuleSecrets
from aura.users.api.servicers.access import AccessServicer
from aura.users.api.servicers.authentication import AuthenticationServicer
from aura.users.api.servicers.user import UserServicer
from aura.users.api.subscribers import MailQueuedSubscriber
from aura.users.external.console_mailer import ConsoleMailer
from aura.users.external.smtp_mailer import SmtpMailer, SmtpServer
from aura.users.repositories.accounts import AccountRepository
from aura.users.repositories.codes import CodeRepository
from aura.users.repositories.login_sessions import LoginSessionRepository
from aura.users.repositories.mail_queue import MailQueueRepository
from aura.users.repositories.service_clients import ServiceClientRepository
from aura.users.repositories.signing_keys import SigningKeyRepository
from aura.users.repositories.throttles import ThrottleRepository
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.repositories.users import UserRepository
from aura.users.services.access import AccessDirectory, ServiceClients
from aura.users.services.account_mailer import AccountMailer
from aura.users.services.authentication import Authentication, LoginSessions
from aura.users.services.email_change import EmailChanges
from aura.users.services.first_run import FirstRun
from aura.users.services.mailing import MailQueue, MailSender
from aura.users.services.password_hasher import PasswordHasher
from aura.users.services.reauthentication import Reauthentication
from aura.users.services.registration import RegistrationService
from aura.users.services.second_factor import SecondFactors, SecondFactorService
from aura.users.services.signing_keys import KeyRotation, SigningKeys
from aura.users.services.throttle import Throttle
from aura.users.services.tidying import Tidying
from aura.users.services.tokens import TokenIssuer
from aura.users.services.users import UserService
from generated.aura.users.v1.events_pb2 import MailQueued


class RepositoryProvider(Provider):
    """How the repositories are made that read outside of a unit of work: each read is a transaction of its own."""

    scope = Scope.APP

    @provide
    def users(self, database: Database) -> UserRepository:
        """The users."""
        return UserRepository(database.execute)

    @provide
    def accounts(self, database: Database) -> AccountRepository:
        """How they prove who they are."""
        return AccountRepository(database.execute)

    @provide
    def codes(self, database: Database) -> CodeRepository:
        """The codes that were sent to them."""
        return CodeRepository(database.execute)

    @provide
    def login_sessions(self, database: Database) -> LoginSessionRepository:
        """The login sessions."""
        return LoginSessionRepository(database.execute)

    @provide
    def service_clients(self, database: Database) -> ServiceClientRepository:
        """The clients."""
        return ServiceClientRepository(database.execute)

    @provide
    def signing_keys(self, database: Database) -> SigningKeyRepository:
        """The keys of access tokens."""
        return SigningKeyRepository(database.execute)

    @provide
    def mail_queue(self, database: Database) -> MailQueueRepository:
        """The messages that wait."""
        return MailQueueRepository(database.execute)

    @provide
    def throttles(self, database: Database) -> ThrottleRepository:
        """The counts of attempts."""
        return ThrottleRepository(database.execute)


class UsersProvider(Provider):
    """How the module's other pieces are made."""

    scope = Scope.REQUEST

    @provide(scope=Scope.APP)
    def password_hasher(self, settings: AccountSettings) -> PasswordHasher:
        """The password hasher, and its threads."""
        return PasswordHasher(memory_kib=settings.password_memory_kib, passes=settings.password_passes)

    @provide(scope=Scope.APP)
    def known_signing_keys(self, keys: SigningKeyRepository, secrets: ModuleSecrets, clock: Clock) -> SigningKeys:
        """The keys of access tokens, as this process knows them."""
        return SigningKeys(keys=keys, secrets=secrets, clock=clock)

    @provide(scope=Scope.APP)
    def mailer(self, settings: AccountSettings) -> AccountMailer:
        """What sends mail: the mail server of the settings, or the console."""
        if settings.smtp_url is None:
            return ConsoleMailer(public_url=settings.public_url)
        server = SmtpServer.parse(settings.smtp_url)
        return SmtpMailer(server=server, sender=settings.mail_from, public_url=settings.public_url)

    unit_of_work = provide(UsersUnitOfWork)
    user_service = provide(UserService)
    throttle = provide(Throttle)
    mail = provide(MailQueue, scope=Scope.APP)
    mail_sender = provide(MailSender)
    key_rotation = provide(KeyRotation)
    tokens = provide(TokenIssuer)
    second_factors = provide(SecondFactors)
    reauthentication = provide(Reauthentication)
    second_factor_service = provide(SecondFactorService)
    registration = provide(RegistrationService)
    authentication = provide(Authentication)
    email_changes = provide(EmailChanges)
    sessions = provide(LoginSessions)
    access = provide(AccessDirectory)
    clients = provide(ServiceClients)
    first_run = provide(FirstRun)
    tidying = provide(Tidying)
    user_servicer = provide(UserServicer)
    authentication_servicer = provide(AuthenticationServicer)
    access_servicer = provide(AccessServicer)
    mail_queued = provide(MailQueuedSubscriber)


class UsersModule:
    """Keeps the people of the platform."""

    def providers(self) -> Sequence[Provider]:
        """Returns the providers of everything the servicers need."""
        return (RepositoryProvider(), UsersProvider())

    def register_services(self, registrar: ServiceRegistrar) -> None:
        """Registers the module's servicers."""
        registrar.register(UserServicer)
        registrar.register(AuthenticationServicer)
        registrar.register(AccessServicer)

    def subscribe_to_events(self, event_bus: EventBus) -> None:
        """Subscribes to what has the module's own mail sent."""
        event_bus.subscribe(MailQueued, MailQueuedSubscriber)

    def startup(self) -> type[FirstRun]:
        """Returns what runs when the module is served."""
        return FirstRun

    def housekeeping(self) -> type[Tidying]:
        """Returns what runs every ten minutes."""
        return Tidying
