"""Gives every call an id that its log lines, its errors and its outgoing calls share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aura.kernel.ids import new_id_text
from aura.kernel.interceptors.chain import Interceptor

if TYPE_CHECKING:
    from aura.kernel.interceptors.call import Call

REQUEST_ID_METADATA = "x-request-id"
ACCEPTED = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIds(Interceptor):
    """Takes the caller's `x-request-id`, or makes one, and sends it back as trailing metadata."""

    async def on_call(self, call: Call) -> None:
        """Sets the call's request id."""
        given = call.text(REQUEST_ID_METADATA)
        call.request_id = given if ACCEPTED.fullmatch(given) else new_id_text()
        call.context.set_trailing_metadata(((REQUEST_ID_METADATA, call.request_id),))
