"""Turns whatever a handler raised into something a caller may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from aura.kernel.database import as_aura_error
from aura.kernel.errors import AuraError, Internal
from aura.kernel.interceptors.chain import Interceptor

if TYPE_CHECKING:
    from aura.kernel.interceptors.call import Call

log = structlog.get_logger()


class ErrorMapping(Interceptor):
    """Lets our own errors pass, knows the database's, and hides all others behind a constant text."""

    def on_error(self, call: Call, error: Exception) -> Exception:
        """Returns an `AuraError`; logs the cause of what the caller is not told."""
        if isinstance(error, AuraError):
            return error
        known = as_aura_error(error)
        if known is not None:
            log.warning("call failed on the database", method=call.method.path, cause=type(error).__name__)
            return known
        log.error("call failed unexpectedly", method=call.method.path, exc_info=error)
        return Internal("something went wrong on our side; the request id finds it in the log", reason="INTERNAL")
