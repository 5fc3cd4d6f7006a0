"""Admits those whom the method's contract names, and nobody else."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog

from aura.kernel.errors import AuraError, PermissionDenied, Unauthenticated, Unavailable
from aura.kernel.interceptors.chain import Interceptor
from aura.kernel.interceptors.dependencies import DELIVER
from aura.kernel.security.actor import KERNEL
from aura.kernel.security.standard_services import rule_of
from generated.aura.options.v1 import access_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from aura.kernel.interceptors.call import Call
    from aura.kernel.security.actor import Actor
    from aura.kernel.security.callers import Callers

RECHECK_SECONDS = 0.5
"""How often the right to an open stream is looked at; what is known of its caller may itself be some seconds old."""
PATIENCE_SECONDS = 30.0
"""How long a stream goes on while nobody can say whether its caller still has the right to it."""

log = structlog.get_logger()


class AccessTokenMissing(Unauthenticated):
    """The method is for those who are logged in, and the call does not say who makes it."""

    reason = "ACCESS_TOKEN_MISSING"

    def __init__(self) -> None:
        super().__init__("log in first, and send the access token in the metadata `authorization`, behind `Bearer `")


class AccessUnknown(Unavailable):
    """Nobody can say at present what the caller may do."""

    reason = "MODULE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("it cannot be found out at present what you may do; try again")


class CallerNotAdmitted(PermissionDenied):
    """The method's contract does not name the caller."""

    reason = "CALLER_NOT_ADMITTED"


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """Who may call a method, as it is looked up for each call."""

    external: int
    roles: frozenset[int]
    self_field: str
    callers: frozenset[str]

    @classmethod
    def of(cls, path: str) -> _Rule:
        rule = rule_of(path)
        return cls(
            external=rule.external,
            roles=frozenset(rule.roles),
            self_field=rule.self_field,
            callers=frozenset(rule.callers),
        )

    def refusal(self) -> CallerNotAdmitted:
        names = [access_pb2.Role.Name(role) for role in sorted(self.roles)]  # type: ignore[arg-type] # roles are ints
        own = [f"being the user in {self.self_field}"] if self.self_field else []
        return CallerNotAdmitted(f"this method takes {' or '.join([*names, *own])}")


class AccessPolicy(Interceptor):
    """Enforces the option `access`: on the acting user of a call from outside, on the module that makes any other.

    What a user may do is looked at again while they read a stream, which ends when the right to it does.
    """

    def __init__(self, callers: Callers | None = None) -> None:
        self._callers = callers
        self._rules: dict[str, _Rule] = {}
        self._streams: dict[Call, asyncio.Future[None]] = {}
        self._known_at: dict[Call, float] = {}
        self._watch: asyncio.Task[None] | None = None

    async def on_call(self, call: Call) -> None:
        """Decides by who calls, as far as the request does not matter.

        Raises:
            AccessTokenMissing: The caller must be logged in.
            CallerNotAdmitted: The contract does not name them.
        """
        rule = self._rule(call.method.path)
        if call.actor.via_module is not None:
            _require_caller(rule, call.actor.via_module, call.method.path)
            return
        call.only_own = _require_outsider(rule, call.actor)
        if call.method.response_streaming and call.actor.is_revocable:
            self._follow(call)

    def on_request(self, call: Call, request: Message) -> None:
        """Decides by the user whom the request is about, where only they are admitted.

        Raises:
            CallerNotAdmitted: It is about somebody else.
        """
        if call.only_own:
            rule = self._rule(call.method.path)
            if attrgetter(rule.self_field)(request) != call.actor.user_id:
                raise rule.refusal()

    def on_end(self, call: Call, error: BaseException | None) -> None:
        """Forgets a stream."""
        del error
        self._streams.pop(call, None)
        self._known_at.pop(call, None)

    def _rule(self, path: str) -> _Rule:
        rule = self._rules.get(path)
        if rule is None:
            rule = self._rules[path] = _Rule.of(path)
        return rule

    # ---- streams

    def _follow(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        call.revoked = self._streams[call] = loop.create_future()
        if self._watch is None or self._watch.done():
            # Of no call: what it asks belongs to none, and ends with none.
            self._watch = loop.create_task(self._recheck_streams(), context=Context())

    async def _recheck_streams(self) -> None:
        """Ends the streams of those who have lost the right to them; itself when there are none."""
        assert self._callers is not None
        changed = self._callers.changed
        while self._streams:
            changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(RECHECK_SECONDS):
                    await changed.wait()
            await asyncio.gather(*map(self._recheck, list(self._streams)))

    async def _recheck(self, call: Call) -> None:
        refusal, now = await self._lost(call), time.monotonic()
        if call not in self._streams:
            return  # it ended meanwhile, and is not to be remembered again
        if refusal is None:
            self._known_at[call] = now
            return
        # While those are away who know it, a stream goes on, but not for long.
        is_unknown = not isinstance(refusal, (Unauthenticated, PermissionDenied))
        if is_unknown and now - self._known_at.get(call, now) < PATIENCE_SECONDS:
            self._known_at.setdefault(call, now)
            return
        revoked = self._streams[call]
        if not revoked.done():
            revoked.set_exception(refusal)
            revoked.exception()  # the call may end before it is looked at

    async def _lost(self, call: Call) -> AuraError | None:
        """Returns why a stream is to end; None if its caller still has the right to it."""
        assert self._callers is not None
        try:
            actor = await self._callers.again(call.actor)
            _require_outsider(self._rule(call.method.path), actor)
        except AuraError as error:
            return error
        except Exception as error:  # noqa: BLE001 the watch goes on for the other streams
            log.error("the right to a stream could not be looked at", cause=type(error).__name__)  # noqa: TRY400
            return AccessUnknown()
        return None


def _require_caller(rule: _Rule, module: str, path: str) -> None:
    may_deliver = path == DELIVER and module != KERNEL
    if module not in rule.callers and not may_deliver:
        raise CallerNotAdmitted(f"this method's contract does not name {module} among its callers")


def _require_outsider(rule: _Rule, actor: Actor) -> bool:
    """Returns whether the caller is admitted for requests about themselves only."""
    match rule.external:
        case access_pb2.EXTERNAL_PUBLIC:
            return False
        case access_pb2.EXTERNAL_AUTHENTICATED | access_pb2.EXTERNAL_RESTRICTED if not actor.is_known:
            raise AccessTokenMissing
        case access_pb2.EXTERNAL_AUTHENTICATED:
            return False
        case access_pb2.EXTERNAL_RESTRICTED if not rule.roles.isdisjoint(actor.roles):
            return False
        case access_pb2.EXTERNAL_RESTRICTED if rule.self_field:
            return True
        case access_pb2.EXTERNAL_RESTRICTED:
            raise rule.refusal()
        case _:
            raise CallerNotAdmitted("this method cannot be called from outside the platform")
