"""What a stub's methods are: callables that make one call each, through the channel's client interceptors."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from aura.kernel.inprocess.calls import (
    BAD_REQUEST,
    RequestIterator,
    StreamStreamCall,
    StreamUnaryCall,
    UnaryStreamCall,
    UnaryUnaryCall,
    serialize,
)
from aura.kernel.inprocess.interception import (
    InterceptedStreamStreamCall,
    InterceptedStreamUnaryCall,
    InterceptedUnaryStreamCall,
    InterceptedUnaryUnaryCall,
)

if TYPE_CHECKING:
    from aura.kernel.inprocess.channel import AuthContext, InProcessChannel
    from aura.kernel.inprocess.context import Deserializer, Serializer
    from aura.kernel.inprocess.exchange import Exchange
    from aura.kernel.inprocess.metadata import MetadataLike


class _MultiCallable:
    """Makes calls of one method; the subclasses say of which kind."""

    _streams_responses: bool
    _interceptor: type[grpc.aio.ClientInterceptor]
    _call: type[Any]
    _intercepted_call: type[Any]

    def __init__(
        self,
        channel: InProcessChannel,
        method: str,
        serializer: Serializer | None,
        deserializer: Deserializer | None,
    ) -> None:
        self._channel = channel
        self._method = method
        self._serializer = serializer
        self._deserializer = deserializer
        self._interceptors = channel.interceptors_of(self._interceptor)

    def _make_call(
        self,
        request: Any,
        timeout: float | None,
        metadata: MetadataLike | None,
        credentials: grpc.CallCredentials | None,
        wait_for_ready: bool | None,  # noqa: FBT001  as in ClientCallDetails
    ) -> Any:
        caller = self._channel.caller()
        if not self._interceptors:
            return self._invoke(caller, self._method, timeout, metadata, request)
        headers = metadata if isinstance(metadata, grpc.aio.Metadata) else grpc.aio.Metadata(*metadata or ())
        method: Any = self._method.encode()  # grpc.aio's own channel gives interceptors bytes, whatever the stubs say
        details = grpc.aio.ClientCallDetails(method, timeout, headers, credentials, wait_for_ready)
        return self._intercepted_call(self._interceptors, partial(self._invoke_as, caller), details, request)

    def _invoke_as(self, caller: AuthContext, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        method: Any = details.method
        name = method.decode() if isinstance(method, bytes) else method
        return self._invoke(caller, name, details.timeout, details.metadata, request)

    def _invoke(
        self, caller: AuthContext, method: str, timeout: float | None, metadata: MetadataLike | None, request: Any
    ) -> Any:
        raise NotImplementedError

    def _open(
        self, caller: AuthContext, method: str, timeout: float | None, metadata: MetadataLike | None, raw: bytes | None
    ) -> Exchange:
        return self._channel.open(
            method,
            raw,
            streams_responses=self._streams_responses,
            timeout=timeout,
            metadata=metadata,
            auth_context=caller,
        )


class _UnaryRequest(_MultiCallable):
    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,  # noqa: ARG002  there is no wire to save on
    ) -> Any:
        """Make a call; it starts now, whether it is awaited or not."""
        return self._make_call(request, timeout, metadata, credentials, wait_for_ready)

    def _invoke(
        self, caller: AuthContext, method: str, timeout: float | None, metadata: MetadataLike | None, request: Any
    ) -> Any:
        raw = serialize(request, self._serializer)
        exchange = self._open(caller, method, timeout, metadata, b"" if raw is None else raw)
        if raw is None:
            exchange.finish(BAD_REQUEST)
        return self._call(exchange, self._serializer, self._deserializer)


class _StreamRequest(_MultiCallable):
    def __call__(  # noqa: PLR0917  as in grpc.aio
        self,
        request_iterator: RequestIterator | None = None,
        timeout: float | None = None,
        metadata: MetadataLike | None = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,  # noqa: FBT001
        compression: grpc.Compression | None = None,  # noqa: ARG002
    ) -> Any:
        """Make a call; without an iterator the requests are given to its `write`."""
        return self._make_call(request_iterator, timeout, metadata, credentials, wait_for_ready)

    def _invoke(
        self, caller: AuthContext, method: str, timeout: float | None, metadata: MetadataLike | None, request: Any
    ) -> Any:
        exchange = self._open(caller, method, timeout, metadata, None)
        return self._call(exchange, self._serializer, self._deserializer, request)


class UnaryUnaryMultiCallable(_UnaryRequest, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    """Makes calls with one request and one response."""

    _streams_responses = False
    _interceptor = grpc.aio.UnaryUnaryClientInterceptor
    _call = UnaryUnaryCall
    _intercepted_call = InterceptedUnaryUnaryCall


class UnaryStreamMultiCallable(_UnaryRequest, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    """Makes calls with one request and a stream of responses."""

    _streams_responses = True
    _interceptor = grpc.aio.UnaryStreamClientInterceptor
    _call = UnaryStreamCall
    _intercepted_call = InterceptedUnaryStreamCall


class StreamUnaryMultiCallable(_StreamRequest, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    """Makes calls with a stream of requests and one response."""

    _streams_responses = False
    _interceptor = grpc.aio.StreamUnaryClientInterceptor
    _call = StreamUnaryCall
    _intercepted_call = InterceptedStreamUnaryCall


class StreamStreamMultiCallable(_StreamRequest, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    """Makes calls with a stream each way."""

    _streams_responses = True
    _interceptor = grpc.aio.StreamStreamClientInterceptor
    _call = StreamStreamCall
    _intercepted_call = InterceptedStreamStreamCall
