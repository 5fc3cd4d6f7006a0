"""What a failed call told its caller."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from aura.kernel.errors import AuraError
from aura.kernel.rpc_status import from_rpc_error


@dataclass(frozen=True)
class Failure:
    code: grpc.StatusCode
    details: str
    error: AuraError

    @property
    def reason(self) -> str:
        return self.error.reason

    @property
    def fields(self) -> list[str]:
        return [violation.field for violation in self.error.violations]


async def failure_of(call: Awaitable[Any]) -> Failure:
    """Awaits a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Failure(caught.value.code(), caught.value.details() or "", from_rpc_error(caught.value))
