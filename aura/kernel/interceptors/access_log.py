"""Logs every call once, when it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import structlog

from aura.kernel.errors import AuraError, Code
from aura.kernel.interceptors.chain import Interceptor

if TYPE_CHECKING:
    from aura.kernel.interceptors.call import Call

log = structlog.get_logger()
OWN_FAULTS = {Code.INTERNAL, Code.UNKNOWN, Code.DATA_LOSS}


class AccessLog(Interceptor):
    """Writes one line per call: method, code, duration and who called; at debug level, the redacted request too."""

    def __init__(self) -> None:
        self._log = log.bind()  # which finds out only once how logging is configured

    def on_end(self, call: Call, error: BaseException | None) -> None:
        """Writes the line."""
        code = _code(call, error)
        fields = {
            "method": call.method.path,
            "code": code.name,
            "duration_ms": round((time.perf_counter() - call.started) * 1000, 3),
            "user_id": call.actor.user_id,
            "caller_module": call.actor.via_module,
        }
        if isinstance(error, AuraError):
            fields["reason"] = error.reason
        if code in OWN_FAULTS:
            self._log.error("call", **fields)
        elif code is Code.UNAVAILABLE:
            self._log.warning("call", **fields)
        else:
            self._log.info("call", **fields)
        self._log.debug("request", method=call.method.path, request=call.request)


def _code(call: Call, error: BaseException | None) -> Code:
    if isinstance(error, AuraError):
        return error.code
    if error is None or isinstance(error, grpc.aio.AbortError):
        return _set_by_hand(call)
    return Code.CANCELLED


def _set_by_hand(call: Call) -> Code:
    """Returns what a servicer set, or aborted with, by gRPC's own means; OK if it did neither."""
    code = call.context.code()
    return Code(code.value[0] if isinstance(code, grpc.StatusCode) else code or Code.OK)
