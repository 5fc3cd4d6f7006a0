"""Refuses calls that come with too much metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aura.kernel.interceptors.call import Context
    from aura.kernel.interceptors.chain import Handler

ENTRY_BYTES = 32  # what an entry counts besides its key and value (RFC 9113, 6.5.2)


class MetadataLimit:
    """Holds calls to the limit that gRPC itself enforces only once the client has acknowledged it.

    It answers without an abort, whose exception would keep the metadata in memory until the next garbage collection.
    """

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes

    def refusal(self, metadata: Iterable[tuple[str, str | bytes]]) -> Handler | None:
        """Returns a handler that refuses a call with this metadata; None if it is not too much."""
        size = 0
        for key, value in metadata:
            size += len(key) + len(value) + ENTRY_BYTES
        return _REFUSAL if size > self._maximum_bytes else None


async def _refuse(_: AsyncIterator[bytes], context: Context) -> None:
    context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
    context.set_details("the metadata of this call is too large")


_REFUSAL: Handler = grpc.stream_stream_rpc_method_handler(_refuse)
