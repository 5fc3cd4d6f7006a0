"""What a servicer is told of a call, and says about it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from aura.kernel.inprocess.exchange import INVALID_METADATA, Exchange, Status
from aura.kernel.inprocess.metadata import InvalidMetadataError, Metadatum, on_the_wire

if TYPE_CHECKING:
    from aura.kernel.inprocess.metadata import MetadataLike

_LOGGER = logging.getLogger(__name__)
# grpc.aio takes a number up to DATA_LOSS, 15, for a code: UNAUTHENTICATED, 16, becomes UNKNOWN there, and so here
_CODES: dict[int, grpc.StatusCode] = {
    code.value[0]: code for code in grpc.StatusCode if code is not grpc.StatusCode.UNAUTHENTICATED
}

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]


class ServicerContext(grpc.aio.ServicerContext[Any, Any]):
    """The asynchronous servicer's context; it behaves as grpc.aio's own does."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._deserialize: Deserializer | None = None
        self._serialize: Serializer | None = None
        self._code: grpc.StatusCode | int | None = None
        self._details = ""
        self._trailing_metadata: MetadataLike = ()
        self._callbacks: list[Callable[[], None]] = []
        self._aborted: grpc.aio.AbortError | None = None

    def use(self, handler: grpc.RpcMethodHandler[Any, Any]) -> None:
        """Read and write with this handler's serialisers."""
        self._deserialize = handler.request_deserializer
        self._serialize = handler.response_serializer

    async def read(self) -> Any:
        """Return the next request, or grpc.aio.EOF after the last."""
        self.raise_if_over()
        message = await self._exchange.receive_request()
        self.raise_if_over()
        if message is None:
            return grpc.aio.EOF
        return message if self._deserialize is None else self._deserialize(message)

    async def write(self, message: Any) -> None:
        """Send a response and wait until there is room for another.

        Raises grpc.aio.InternalError when the call is over and nobody will read it.
        """
        self.raise_if_over()
        if not await self._exchange.send_response(self.serialized(message)):
            raise grpc.aio.InternalError("The call is over; the message was not sent.")

    def serialized(self, message: Any) -> bytes:
        """Return the response as bytes."""
        if isinstance(message, str):
            message = message.encode()
        raw: Any = message if self._serialize is None else self._serialize(message)
        if not isinstance(raw, bytes):
            raise TypeError(f"Expected bytes, got {type(raw).__name__}")
        return raw

    async def send_initial_metadata(self, initial_metadata: MetadataLike) -> None:
        """Send what precedes the first response; only once."""
        self.raise_if_over()
        if self._exchange.initial_metadata is not None and not self._exchange.lost:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        if not self._exchange.send_initial_metadata(initial_metadata):
            raise grpc.aio.InternalError("The call is over; the initial metadata was not sent.")

    async def abort(
        self, code: grpc.StatusCode | int, details: str = "", trailing_metadata: MetadataLike = ()
    ) -> NoReturn:
        """End the call with a status other than OK and raise grpc.aio.AbortError, which is to be let through."""
        if self._aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        if status_code(code) is grpc.StatusCode.OK:
            raise grpc.aio.UsageError("abort() is for a status other than OK")
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        self._aborted = grpc.aio.AbortError("Locally aborted.")
        self._code = code
        self._details = details or self._details
        self.send_status(status_code(code), self._details)
        raise self._aborted

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """End the call with this status; see `abort`."""
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    def set_trailing_metadata(self, trailing_metadata: MetadataLike) -> None:
        """Set what goes with the status."""
        if isinstance(trailing_metadata, Mapping) or not isinstance(trailing_metadata, Iterable):
            raise TypeError(f"Invalid trailing metadata type, expected pairs: {trailing_metadata!r}")
        pairs = tuple(trailing_metadata)
        if not all(map(_is_metadatum, pairs)):
            raise TypeError(f"Invalid trailing metadata type, expected pairs: {trailing_metadata!r}")
        self._trailing_metadata = pairs

    def trailing_metadata(self) -> Any:
        """Return what `set_trailing_metadata` was given."""
        return self._trailing_metadata

    def invocation_metadata(self) -> Any:
        """Return the metadata that came with the call, as pairs with ``key`` and ``value``."""
        return self._exchange.metadata

    def set_code(self, code: grpc.StatusCode | int) -> None:
        """Set the code to end with when the servicer returns or raises."""
        self._code = code

    def code(self) -> Any:
        """Return what `set_code` or `abort` was given, or None."""
        return self._code

    def set_details(self, details: str) -> None:
        """Set the text to end with when the servicer returns."""
        self._details = details

    def details(self) -> str:
        """Return what `set_details` or `abort` was given."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:  # noqa: ARG002  there is no wire to save on
        """Do nothing, once it is checked that grpc.aio would have allowed it."""
        if self._exchange.initial_metadata is not None:
            raise RuntimeError("Compression setting must be specified before sending initial metadata")

    def disable_next_message_compression(self) -> None:
        """Do nothing: messages are not compressed."""

    def peer(self) -> str:
        """Return ``inprocess:`` and the number of the channel."""
        return self._exchange.peer

    def peer_identities(self) -> None:
        """Return None: who calls is in `auth_context`."""

    def peer_identity_key(self) -> None:
        """Return None: who calls is in `auth_context`."""

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Return what the channel's ``auth_context`` gave when the call was made."""
        return self._exchange.auth_context

    def time_remaining(self) -> Any:
        """Return the seconds left to the deadline, or None without one."""
        deadline = self._exchange.deadline
        return None if deadline is None else max(0.0, deadline - self._exchange.loop.time())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Have ``callback`` called with this context when the handler is through."""
        self._callbacks.append(partial(callback, self))

    def done(self) -> bool:
        """Return whether the status has been sent."""
        return self._exchange.status_sent

    def cancelled(self) -> bool:
        """Return whether the servicer ends the call with CANCELLED."""
        return self._code is not None and status_code(self._code) is grpc.StatusCode.CANCELLED

    # For the code that runs handlers

    @property
    def aborted(self) -> grpc.aio.AbortError | None:
        """The error that `abort` raised."""
        return self._aborted

    def raise_if_over(self) -> None:
        """Raise when the servicer has ended the call already: it may have caught what `abort` raised."""
        if self._aborted is not None:
            raise self._aborted
        if self._exchange.status_sent:
            raise grpc.aio.UsageError("RPC already finished.")

    def send_status(self, code: grpc.StatusCode | None = None, details: str | None = None) -> None:
        """End the call, by default with what `set_code` and `set_details` were given."""
        if code is None:
            code = grpc.StatusCode.OK if self._code is None else status_code(self._code)
        try:
            trailing: tuple[Metadatum, ...] = on_the_wire(self._trailing_metadata)
        except (InvalidMetadataError, TypeError):
            self._exchange.send_status(INVALID_METADATA)
        else:
            said = self._details if details is None else details
            self._exchange.send_status(Status(code, "" if code is grpc.StatusCode.OK else said, trailing))

    def run_done_callbacks(self) -> None:
        """Call what `add_done_callback` was given."""
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                _LOGGER.exception("Done callback of the servicer of %s raised", self._exchange.method)


class SynchronousContext:
    """The context of a servicer that is a plain function and runs in a thread."""

    def __init__(self, context: ServicerContext, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop
        self.callbacks: list[Callable[[], None]] = []
        self.set_trailing_metadata = context.set_trailing_metadata
        self.invocation_metadata = context.invocation_metadata
        self.set_code = context.set_code
        self.set_details = context.set_details
        self.set_compression = context.set_compression
        self.disable_next_message_compression = context.disable_next_message_compression
        self.peer = context.peer
        self.peer_identities = context.peer_identities
        self.peer_identity_key = context.peer_identity_key
        self.auth_context = context.auth_context
        self.time_remaining = context.time_remaining

    def abort(self, code: grpc.StatusCode | int, details: str = "", trailing_metadata: MetadataLike = ()) -> NoReturn:
        """End the call with a status other than OK; see `ServicerContext.abort`."""
        asyncio.run_coroutine_threadsafe(self._context.abort(code, details, trailing_metadata), self._loop).result()
        raise AssertionError("abort() returned")

    def send_initial_metadata(self, initial_metadata: MetadataLike) -> None:
        """Send what precedes the first response; only once."""
        asyncio.run_coroutine_threadsafe(self._context.send_initial_metadata(initial_metadata), self._loop).result()

    def add_callback(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the servicer has returned."""
        self.callbacks.append(callback)


def status_code(code: Any) -> grpc.StatusCode:
    """Return the code as an enum member; what is none is UNKNOWN."""
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODES.get(code, grpc.StatusCode.UNKNOWN) if isinstance(code, int) else grpc.StatusCode.UNKNOWN


def _is_metadatum(item: Any) -> bool:
    return (
        isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], str | bytes)  # noqa: PLR2004
    )
