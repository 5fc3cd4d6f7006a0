"""One request, one unit of work, one explicit commit."""

from __future__ import annotations

from contextvars import Token
from datetime import datetime
from types import TracebackType
from typing import Self
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.database import Database, Parameters, Rows, connection_held, execute_on
from aura.kernel.events.inbox import Delivery
from aura.kernel.events.outbox import Outbox, OutgoingEvent
from aura.kernel.idempotency import IdempotentRequest
from aura.kernel.query import Query
from aura.kernel.security.access_changes import AccessChanges


class UnitOfWork:
    """A transaction (READ COMMITTED) that ends with `commit`; leaving it in any other way rolls back.

    Modules subclass it to hang their repositories on it.
    """

    def __init__(
        self,
        *,
        database: Database,
        request: IdempotentRequest,
        outbox: Outbox,
        delivery: Delivery,
        audit_trail: AuditTrail,
        access_changes: AccessChanges,
    ) -> None:
        self._audit_trail = audit_trail
        self._access_changes = access_changes
        self._changed: list[str] = []
        self._audited: list[AuditEntry] = []
        self._database = database
        self._request = request
        self._outbox = outbox
        self._delivery = delivery
        self._events: list[OutgoingEvent] = []
        self._cancelled_keys: list[str] = []
        self._connection: AsyncConnection | None = None
        self._held: Token[bool] | None = None

    @property
    def connection(self) -> AsyncConnection:
        """The connection inside the transaction; only between entering and leaving."""
        if self._connection is None:
            raise RuntimeError("the unit of work is not open; use it in `async with`")
        return self._connection

    async def __aenter__(self) -> Self:
        if self._connection is not None:
            raise RuntimeError("the unit of work is open already; there is one per request")
        self._events, self._cancelled_keys, self._audited, self._changed = [], [], [], []
        self._connection = await self._database.engine.connect()
        self._held = connection_held.set(True)
        if self._request.request_id:
            await self._claim_request()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection, self._connection = self.connection, None
        if self._held is not None:
            connection_held.reset(self._held)
        await connection.close()

    async def execute(self, statement: Executable | Query, parameters: Parameters = None) -> Rows:
        """Runs a statement inside the transaction; returns its rows."""
        return await execute_on(self.connection, statement, parameters)

    async def replayed(self) -> UUID | None:
        """Returns the id of the resource that this same request made or changed before; None if it is new.

        Raises:
            RequestIdReused: The request id was used for a different request.
        """
        if not self._request.request_id:
            return None
        async with self._database.read() as connection:
            return await self._request.find(connection)

    def publish(self, event: Message, *, at: datetime | None = None, key: str | None = None) -> None:
        """Publishes an event, if the unit of work is committed; at a later time if `at` is given.

        An event that is scheduled under a key which is taken takes the other's place.

        Raises:
            RuntimeError: The unit of work is not open, or the module's specification does not name the type.
        """
        if self._connection is None:
            raise RuntimeError("events are published in an open unit of work, with the changes that they tell of")
        self._events.append(self._outbox.outgoing(event, at=at, key=key))

    def cancel_scheduled(self, key: str) -> None:
        """Forgets the event that is scheduled under a key, if it is not due yet, once the unit of work is committed."""
        if self._connection is None:
            raise RuntimeError("scheduled events are cancelled in an open unit of work")
        self._cancelled_keys.append(key)

    def audit(self, entry: AuditEntry) -> None:
        """Adds an entry to the audit trail, if the unit of work is committed."""
        if self._connection is None:
            raise RuntimeError("the audit trail is written in an open unit of work, with the changes that it tells of")
        self._audited.append(entry)

    def access_changed(self, who: UUID) -> None:
        """Has all processes ask anew what a user, a client or the holder of a login session may do, once committed."""
        self._changed.append(str(who))

    async def commit(self, resource_id: UUID | None = None) -> None:
        """Makes all that was done since entering last, and remembers the request by the id of its resource."""
        await self._delivery.mark(self.connection)
        if resource_id is not None and self._request.request_id:
            await self._request.remember(self.connection, resource_id)
        if self._cancelled_keys:
            await self._outbox.cancel(self.connection, self._cancelled_keys)
        if self._events:
            await self._outbox.write(self.connection, self._events)
        if self._audited:
            await self._audit_trail.write(self.execute, self._audited)
        if self._changed:
            await self._access_changes.announce(self.execute, self._changed)
        await self.connection.commit()
        if self._audited:
            self._audit_trail.committed()
        if self._events:
            self._outbox.committed(self._events)
        self._access_changes.committed(self._changed)
        self._events, self._cancelled_keys, self._audited, self._changed = [], [], [], []

    async def _claim_request(self) -> None:
        try:
            await self._request.claim(self.connection)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
