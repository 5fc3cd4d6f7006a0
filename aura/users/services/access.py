"""What callers are: users of login sessions, and clients with tokens of their own."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.clock import Clock
from aura.kernel.ids import new_id
from aura.kernel.registry import ModuleServices
from aura.users.errors import AccessEnded, CredentialsInvalid, ServiceClientNotFound, ServiceUnknown
from aura.users.models.codes import hash_of, is_code
from aura.users.models.service_client import ServiceClient
from aura.users.models.user import Role
from aura.users.repositories.login_sessions import LoginSessionRepository
from aura.users.repositories.service_clients import ServiceClientRepository
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.services.throttle import Throttle
from aura.users.services.tokens import TokenIssuer

SECRET_BYTES = 32
NOBODY = hash_of("")


@dataclass(frozen=True, kw_only=True)
class Access:
    """What a caller may be; `services` limits clients."""

    user_id: UUID
    roles: tuple[Role, ...]
    services: tuple[str, ...] = ()


class AccessDirectory:
    """Looks up callers."""

    def __init__(self, *, sessions: LoginSessionRepository, clients: ServiceClientRepository, clock: Clock) -> None:
        self._sessions = sessions
        self._clients = clients
        self._clock = clock

    async def of_session(self, session_id: UUID) -> Access:
        """Returns what the user of a session is now.

        Raises:
            AccessEnded: The session has ended, or its user is out of use.
        """
        holder = await self._sessions.holder(session_id, self._clock.now())
        if holder is None:
            raise AccessEnded
        return Access(user_id=holder.user_id, roles=holder.roles)

    async def of_client(self, client_id: UUID) -> Access:
        """Returns what a client is now.

        Raises:
            AccessEnded: It is out of use.
        """
        client = await self._clients.get(client_id)
        if client is None:
            raise AccessEnded
        return Access(user_id=client.client_id, roles=(Role.SERVICE,), services=client.services)


class ServiceClients:
    """Creates clients, gives them tokens, and takes them out of use."""

    def __init__(
        self,
        *,
        unit_of_work: UsersUnitOfWork,
        clients: ServiceClientRepository,
        services: ModuleServices,
        throttle: Throttle,
        tokens: TokenIssuer,
        audit_trail: AuditTrail,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._clients = clients
        self._services = services
        self._throttle = throttle
        self._tokens = tokens
        self._audit_trail = audit_trail
        self._clock = clock

    async def create(self, *, display_name: str, services: tuple[str, ...]) -> tuple[UUID, str]:
        """Creates a client; returns its id and its secret.

        Raises:
            ServiceUnknown: The platform has no such service.
        """
        known = self._services.names()
        for position, service in enumerate(services):
            if service not in known:
                raise ServiceUnknown(position)
        secret = secrets.token_hex(SECRET_BYTES)
        client = ServiceClient(
            client_id=new_id(),
            display_name=display_name,
            secret_hash=hash_of(secret),
            services=services,
            create_time=self._clock.now(),
        )
        async with self._unit_of_work as work:
            await work.service_clients.add(client)
            work.audit(AuditEntry(action="service_client.created", subject=str(client.client_id)))
            await work.commit()
        return client.client_id, secret

    async def revoke(self, client_id: UUID) -> None:
        """Takes a client out of use.

        Raises:
            ServiceClientNotFound: There is none with this id.
        """
        async with self._unit_of_work as work:
            if not await work.service_clients.end(client_id, self._clock.now()):
                raise ServiceClientNotFound
            work.audit(AuditEntry(action="service_client.revoked", subject=str(client_id)))
            work.access_changed(client_id)
            await work.commit()

    async def token(self, *, client_id: UUID, secret: str) -> tuple[str, datetime]:
        """Returns an access token of a client, and when it expires.

        Raises:
            CredentialsInvalid: The client is unknown or out of use, or the secret is wrong.
            TooManyAttempts: The source is locked out. Clients are not: their secrets are too long to guess.
        """
        await self._throttle.require_source()
        client = await self._clients.get(client_id)
        matches = is_code(secret, client.secret_hash if client else NOBODY)
        if client is None or not matches:
            entry = AuditEntry(action="service_token.refused", subject=str(client_id))
            await self._audit_trail.write_alone(entry)
            raise CredentialsInvalid
        await self._throttle.forgive_source()
        return await self._tokens.for_client(client_id)
