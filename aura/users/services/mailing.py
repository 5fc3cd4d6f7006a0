"""Queues messages with the changes that they tell of, and sends them afterwards."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from aura.kernel.clock import Clock
from aura.kernel.ids import new_id
from aura.kernel.security.module_secrets import ModuleSecrets
from aura.users.models.mail import AccountMail, MailKind, QueuedMail
from aura.users.repositories.accounts import AccountRepository
from aura.users.repositories.mail_queue import MailQueueRepository
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.services.account_mailer import AccountMailer, MailNotSent
from generated.aura.users.v1.events_pb2 import MailQueued

WORTHWHILE = timedelta(hours=24)
TO_NEW_ADDRESSES = {MailKind.VERIFY_EMAIL, MailKind.CHANGE_EMAIL}
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=5)

log = structlog.get_logger()


class MailQueue:
    """Takes messages; they are stored sealed, for they hold codes."""

    def __init__(self, *, secrets: ModuleSecrets, clock: Clock) -> None:
        self._sealer = secrets.sealer("mail")
        self._clock = clock

    async def put(self, work: UsersUnitOfWork, mail: AccountMail, *, lifetime: timedelta = WORTHWHILE) -> None:
        """Queues a message, to be sent once the unit of work is committed, and as long as it is of use."""
        mail_id, expire_time = new_id(), self._clock.now() + lifetime
        sealed = self._sealer.seal(mail.to_bytes(), context=mail_id.bytes)
        await work.mail_queue.add(QueuedMail(mail_id=mail_id, sealed=sealed, attempts=0, expire_time=expire_time))
        work.publish(MailQueued(mail_id=str(mail_id)))

    def open(self, mail: QueuedMail) -> AccountMail:
        """Returns what a message says."""
        return AccountMail.from_bytes(self._sealer.open(mail.sealed, context=mail.mail_id.bytes))


class MailSender:
    """Sends a queued message; whether its address has an account is looked up only now, when nobody waits for it."""

    def __init__(
        self,
        *,
        unit_of_work: UsersUnitOfWork,
        queue: MailQueue,
        queued: MailQueueRepository,
        accounts: AccountRepository,
        mailer: AccountMailer,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._queue = queue
        self._queued = queued
        self._accounts = accounts
        self._mailer = mailer
        self._clock = clock

    async def send(self, mail_id: UUID) -> None:
        """Sends a message, or has it tried again later; a message that was sent already is left alone."""
        queued = await self._queued.get(mail_id)
        if queued is None:
            return
        try:
            mail = await self._to_send(self._queue.open(queued))
            if mail is not None and self._clock.now() < queued.expire_time:
                await self._mailer.send(mail_id, mail)
        except MailNotSent as error:
            if not error.is_final:
                await self._try_later(queued, error)
                return
            log.warning("mail was refused for good", mail_id=str(mail_id), cause=str(error))
        async with self._unit_of_work as work:
            await work.mail_queue.remove(mail_id)
            await work.commit()

    async def _to_send(self, mail: AccountMail) -> AccountMail | None:
        """Returns the message that is to be sent instead of one that was queued; None if none is.

        What is sent to somebody who has an account goes to the address that they gave, and not to one that only counts
        as the same: characters that look alike may be another person's.
        """
        if mail.kind is MailKind.EMAIL_CHANGED:  # goes to an address that is its user's no more
            return mail
        account = await self._accounts.by_email(mail.email)
        if account is None:
            return mail if mail.kind in TO_NEW_ADDRESSES else None
        if not account.active:
            return None
        if mail.kind in TO_NEW_ADDRESSES:
            return AccountMail(kind=MailKind.ACCOUNT_EXISTS, email=account.email)
        return replace(mail, email=account.email)

    async def _try_later(self, queued: QueuedMail, error: MailNotSent) -> None:
        log.warning("mail was not sent", mail_id=str(queued.mail_id), attempts=queued.attempts + 1, cause=str(error))
        async with self._unit_of_work as work:
            await work.mail_queue.note_attempt(queued.mail_id, queued.attempts + 1)
            again = MailQueued(mail_id=str(queued.mail_id))
            work.publish(again, at=self._next_attempt(queued.attempts), key=f"mail/{queued.mail_id}")
            await work.commit()

    def _next_attempt(self, attempts: int) -> datetime:
        return self._clock.now() + min(FIRST_PAUSE * float(2 ** min(attempts, 20)), LONGEST_PAUSE)
