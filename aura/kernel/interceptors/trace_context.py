"""Makes every call a part of a trace, as W3C Trace Context has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import getrandbits
from typing import TYPE_CHECKING

from aura.kernel.interceptors.chain import Interceptor

if TYPE_CHECKING:
    from aura.kernel.interceptors.call import Call

TRACE_PARENT, TRACE_STATE = "traceparent", "tracestate"
SAMPLED = "01"
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE_LENGTH = 512  # what must at least be passed on


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """A call's place in a trace: the trace, this call's own span in it, and what other tracers want passed on."""

    trace_id: str
    span_id: str
    flags: str = SAMPLED
    state: str = ""

    @classmethod
    def continued(cls, parent: str, state: str) -> TraceContext:
        """Returns the place of a call that came with these headers; that of a new trace if they are none."""
        found = _PARENT.fullmatch(parent)
        if found is None or (found[1] == "00" and found[5]):
            made = f"{getrandbits(192):048x}"  # unlike any other, but no secret
            return cls(trace_id=made[:32], span_id=made[32:])
        kept = state if len(state) <= _STATE_LENGTH else ""
        return cls(trace_id=found[2], span_id=f"{getrandbits(64):016x}", flags=found[4], state=kept)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the calls made while handling this one carry."""
        parent = (TRACE_PARENT, f"00-{self.trace_id}-{self.span_id}-{self.flags}")
        return (parent, (TRACE_STATE, self.state)) if self.state else (parent,)


class Tracing(Interceptor):
    """Continues the caller's trace, or begins one."""

    async def on_call(self, call: Call) -> None:
        """Sets the call's place in its trace."""
        call.trace = TraceContext.continued(call.text(TRACE_PARENT), call.text(TRACE_STATE))
