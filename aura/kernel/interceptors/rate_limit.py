"""Refuses the calls of those who call too often."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING

from aura.kernel.errors import ResourceExhausted
from aura.kernel.interceptors.chain import Interceptor
from aura.kernel.interceptors.identity import AUTHORIZATION
from aura.kernel.networks import network_of
from aura.kernel.security.access_tokens import AccessTokenInvalid
from aura.kernel.security.callers import ServiceNotCovered
from aura.kernel.security.internal_identity import IdentityRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from aura.kernel.interceptors.call import Call

BURST_SECONDS = 2.0
"""How many seconds' worth of calls may come at once, by those who were quiet before."""

ROUNDING_SECONDS = 1e-6
REMEMBERED = 10_000
"""How many callers are known at a time; the longest quiet is forgotten first, and begins afresh."""


class RateLimited(ResourceExhausted):
    """The caller makes more calls than one caller may."""

    reason = "RATE_LIMITED"

    def __init__(self, retry_after: float) -> None:
        super().__init__(
            "too many calls from this address or account; try again a little later",
            retry_after=timedelta(seconds=retry_after),
        )


class Buckets:
    """A token bucket for each of many callers, in memory (GCRA, as in ATM traffic management: one number for each).

    Args:
        per_second: how many calls each may make in the long run; 0: as many as they like.
        clock: the time in seconds.
        remembered: how many callers are known at a time.
    """

    def __init__(
        self, per_second: float, *, clock: Callable[[], float] = time.monotonic, remembered: int = REMEMBERED
    ) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._tolerance = max(BURST_SECONDS - self._interval, 0.0)
        self._clock = clock
        self._remembered = remembered
        self._empty_until: OrderedDict[str, float] = OrderedDict()
        """When what each caller has taken is made up for."""

    def __len__(self) -> int:
        return len(self._empty_until)

    def take(self, key: str) -> float:
        """Takes a token of a caller's; returns 0, or in how many seconds there will be one if there is none."""
        if not self._interval:
            return 0.0
        now, known = self._clock(), self._empty_until
        until = max(known.get(key, 0.0), now)
        wait = until - now - self._tolerance
        if wait <= ROUNDING_SECONDS:
            until, wait = until + self._interval, 0.0
        known[key] = until
        known.move_to_end(key)
        if len(known) > self._remembered:
            known.popitem(last=False)
        return wait


class RateLimit(Interceptor):
    """Counts the calls from outside, by network address and by account; what modules call for them is part of them.

    Calls count too whose callers did not prove who they are, which is found out before.
    """

    def __init__(self, *, peers: Buckets, accounts: Buckets) -> None:
        self._peers = peers
        self._accounts = accounts

    async def on_call(self, call: Call) -> None:
        """Counts the call, or refuses it.

        Raises:
            RateLimited: Its network address, or the account that its access token is for, makes too many.
        """
        actor = call.actor
        if actor.via_module is not None or call.forwarded:
            return
        wait = self._peers.take(network_of(actor.source)) if actor.source else 0.0
        if not wait and AUTHORIZATION in call.metadata:
            wait = self._accounts.take(actor.user_id)
        if wait:
            raise RateLimited(wait)

    def on_error(self, call: Call, error: Exception) -> Exception:
        """Counts a call that was refused before this was asked."""
        if isinstance(error, (AccessTokenInvalid, IdentityRefused, ServiceNotCovered)) and call.actor.source:
            wait = self._peers.take(network_of(call.actor.source))
            return RateLimited(wait) if wait else error
        return error
