"""How users change their address: it is what a lost password is replaced by, so it takes the password and a code."""

from __future__ import annotations

from aura.kernel.audit import AuditEntry, AuditTrail
from aura.kernel.clock import Clock
from aura.users.errors import CodeInvalid, EmailTaken
from aura.users.models.account import Credentials
from aura.users.models.codes import EMAIL_CHANGE_LIFETIME, EmailChange, hash_of, new_code
from aura.users.models.mail import AccountMail, MailKind
from aura.users.models.user import normalized_email
from aura.users.repositories.unit_of_work import UsersUnitOfWork
from aura.users.services.mailing import MailQueue
from aura.users.services.reauthentication import Reauthentication
from aura.users.services.throttle import Counted, Throttle
from aura.users.services.users import UserService


class EmailChanges:
    """Changes the address of the user who is logged in."""

    def __init__(
        self,
        *,
        unit_of_work: UsersUnitOfWork,
        users: UserService,
        reauthentication: Reauthentication,
        throttle: Throttle,
        mail_queue: MailQueue,
        audit_trail: AuditTrail,
        clock: Clock,
    ) -> None:
        self._unit_of_work = unit_of_work
        self._users = users
        self._reauthentication = reauthentication
        self._throttle = throttle
        self._mail_queue = mail_queue
        self._audit_trail = audit_trail
        self._clock = clock

    async def request(self, *, password: str, new_email: str) -> None:
        """Sends a code to the new address. Whether it has an account makes no difference.

        Raises:
            SignInRequired: Nobody is logged in.
            CredentialsInvalid: The password is wrong, or was tried too often.
            EmailInvalid: The address is none.
        """
        address = normalized_email(new_email, field="new_email")
        account = await self._reauthentication.by_password(password)
        code, may_mail = new_code(), await self._throttle.may_mail(address, Counted.VERIFICATION_MAILS)
        change = EmailChange(
            user_id=account.user_id,
            email=address,
            code_hash=hash_of(code),
            expire_time=self._clock.now() + EMAIL_CHANGE_LIFETIME,
        )
        async with self._unit_of_work as work:
            if may_mail:
                await work.codes.save_email_change(change)
                mail = AccountMail(kind=MailKind.CHANGE_EMAIL, email=address, code=code)
                await self._mail_queue.put(work, mail, lifetime=EMAIL_CHANGE_LIFETIME)
            await work.commit()

    async def confirm(self, code: str) -> None:
        """Changes the address to the one that the code was sent to.

        Raises:
            SignInRequired: Nobody is logged in.
            CodeInvalid: The code is not good, or was tried too often; or the address has got an account meanwhile.
        """
        account = await self._reauthentication.account()
        async with self._throttle.attempt(account.email, Counted.MAILED_CODES) as is_admitted:
            if not is_admitted or not await self._take(account, code):
                details = {"why": "code" if is_admitted else "locked"}
                entry = AuditEntry(action="code.refused", subject=str(account.user_id), details=details)
                await self._audit_trail.write_alone(entry)
                raise CodeInvalid
        await self._throttle.succeeded(account.email, Counted.MAILED_CODES)

    async def _take(self, account: Credentials, code: str) -> bool:
        async with self._unit_of_work as work:
            await work.users.get_for_update(account.user_id)
            email = await work.codes.take_email_change(account.user_id, hash_of(code), self._clock.now())
            if email is None:
                return False
            try:
                await self._users.change_email(work, account.user_id, email)
            except EmailTaken:
                return False
            await work.commit()
        return True
