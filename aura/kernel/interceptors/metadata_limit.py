"""Refuses calls that come with too much metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aura.kernel.interceptors.call import Context
    from aura.kernel.interceptors.chain import Handler

ENTRY_BYTES = 32  # what an entry counts besides its key and value (RFC 9113, 6.5.2)


class MetadataLimit(grpc.aio.ServerInterceptor):
    """Holds calls to the limit that gRPC itself enforces only once the client has acknowledged it.

    It answers without an abort, whose exception would keep the metadata in memory until the next garbage collection.
    """

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Returns the method's handler, or one that refuses the call."""
        size = 0
        for key, value in handler_call_details.invocation_metadata or ():
            size += len(key) + len(value) + ENTRY_BYTES
        if size > self._maximum_bytes:
            return _REFUSAL
        return await continuation(handler_call_details)


async def _refuse(_: AsyncIterator[bytes], context: Context) -> None:
    context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    context.set_details("the metadata of this call is too large")


_REFUSAL: Handler = grpc.stream_stream_rpc_method_handler(_refuse)
