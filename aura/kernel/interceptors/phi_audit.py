"""Sees that nobody is shown health data without an entry in the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from aura.kernel.errors import Internal
from aura.kernel.interceptors.chain import Interceptor
from aura.kernel.redaction import can_hold_phi

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from aura.kernel.interceptors.call import Call

log = structlog.get_logger()


class AnswerUnaudited(Internal):
    """A method was about to answer with what may be health data, and had told no audit trail of it."""

    reason = "INTERNAL"

    def __init__(self) -> None:
        super().__init__("the answer is withheld by a fault of ours; the request id finds it in the log")


class PhiAudit(Interceptor):
    """Withholds what may hold health data until an entry that the call wrote to an audit trail is committed."""

    def on_response(self, call: Call, response: Message) -> None:
        """Checks a response, by what its type can hold.

        Raises:
            AnswerUnaudited: Health data would leave no trace.
        """
        if not call.audited and can_hold_phi(response.DESCRIPTOR):
            log.error("an answer that may hold health data was not audited", method=call.method.path)
            raise AnswerUnaudited
