"""Keeps account of who was denied what."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from aura.kernel.audit import AuditEntry
from aura.kernel.contracts import module_of
from aura.kernel.errors import Code
from aura.kernel.interceptors.chain import Interceptor
from aura.kernel.interceptors.rate_limit import Buckets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aura.kernel.audit import AuditTrail
    from aura.kernel.errors import AuraError
    from aura.kernel.interceptors.call import Call

WRITTEN_PER_SECOND = 1.0
"""How many denials of one caller by one method are written down: nobody is to fill the trail."""

log = structlog.get_logger()


class Denials(Interceptor):
    """Writes each denial into the audit trail of the module that was called; of the kernel's services, into the first.

    It is of those who are known: who is not is told so, and stands in the log. A denial stands, written or not.
    """

    def __init__(self, trails: Mapping[str, AuditTrail], *, written: Buckets | None = None) -> None:
        self._trails = trails
        self._written = written or Buckets(WRITTEN_PER_SECOND)

    async def on_refusal(self, call: Call, error: AuraError) -> None:
        """Writes the entry, in a transaction of its own."""
        if error.code is not Code.PERMISSION_DENIED:
            return
        trail = self._trails.get(module_of(call.method.path)) or next(iter(self._trails.values()), None)
        if trail is None:
            return
        details = {"method": call.method.path, "reason": error.reason}
        if self._written.take(f"{call.actor.user_id} {call.actor.via_module} {call.method.path}"):
            log.warning("a denial is not written down, for there are too many of the kind", **details)
            return
        try:
            await trail.write_alone(AuditEntry(action="access.denied", details=details))
        except Exception as failure:  # noqa: BLE001 the caller is denied all the same
            log.error("a denial could not be accounted for", cause=type(failure).__name__, **details)  # noqa: TRY400
