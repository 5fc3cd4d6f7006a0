"""A service that has everything `google/api/http.proto` speaks of, and that answers with what it was asked."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import grpc_tools
from google.api import annotations_pb2
from google.protobuf import (
    any_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

PACKAGE = "aura.test.library.v1"
SERVICE = f"{PACKAGE}.LibraryService"
PROTO = Path(__file__).with_name("library.proto")
IMPORTED = (
    annotations_pb2,
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
"""What the contract imports, and must be in the pool before it."""


@cache
def descriptor_set() -> FileDescriptorSet:
    """The contract and all that it imports."""
    google = Path(annotations_pb2.__file__).parents[2]
    builtin = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "library.binpb"
        paths = [f"-I{PROTO.parent}", f"-I{google}", f"-I{builtin}"]
        options = [*paths, f"--descriptor_set_out={made}", "--include_imports", PROTO.name]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options], check=True)
        return FileDescriptorSet.FromString(made.read_bytes())


@cache
def service() -> ServiceDescriptor:
    """The service as the default pool knows it, which it is added to once."""
    pool = descriptor_pool.Default()
    own = next(file for file in descriptor_set().file if file.package == PACKAGE)
    pool.AddSerializedFile(own.SerializeToString())
    return pool.FindServiceByName(SERVICE)


def message_class(name: str) -> type[Message]:
    """The class of a message of the package, as `Book`."""
    return GetMessageClass(service().file.message_types_by_name[name])


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A request that reached the server."""

    method: str
    request: bytes
    metadata: tuple[tuple[str, str | bytes], ...]


@dataclass
class LibraryServicer:
    """Remembers, in `seen`, each message that reaches it, in the order in which they come."""

    seen: list[Seen] = field(default_factory=list)

    def add_to(self, server: grpc.aio.Server) -> None:
        handlers = {method.name: self._handler(method) for method in service().methods}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    def _handler(self, method: MethodDescriptor) -> grpc.RpcMethodHandler:
        kind = f"{_word(many=method.client_streaming)}_{_word(many=method.server_streaming)}"
        return getattr(grpc, f"{kind}_rpc_method_handler")(
            getattr(self, f"_{kind}")(method),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _note(self, method: MethodDescriptor, request: Message, context: Any) -> None:
        metadata = tuple((key, value) for key, value in context.invocation_metadata() or ())
        serialized = request.SerializeToString(deterministic=True)
        self.seen.append(Seen(method=method.name, request=serialized, metadata=metadata))

    def _unary_unary(self, method: MethodDescriptor) -> Any:
        async def call(request: Message, context: grpc.aio.ServicerContext) -> Message:
            self._note(method, request, context)
            if method.name == "Fail":
                await _fail(context, request)
            return _answer(method, request)

        return call

    def _unary_stream(self, method: MethodDescriptor) -> Any:
        async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
            self._note(method, request, context)
            for _ in range(request.count):
                yield _answer(method, request)
            if request.code:
                await context.abort_with_status(rpc_status.to_status(status_pb2.Status(code=request.code)))

        return call

    def _stream_unary(self, method: MethodDescriptor) -> Any:
        async def call(requests: AsyncIterator[Any], context: grpc.aio.ServicerContext) -> Message:
            answer, count = _answer(method, message_class("WatchRequest")()), 0
            async for request in requests:
                self._note(method, request, context)
                answer, count = request, count + 1
            answer.count = count
            return answer

        return call

    def _stream_stream(self, method: MethodDescriptor) -> Any:
        async def call(requests: AsyncIterator[Message], context: grpc.aio.ServicerContext) -> AsyncIterator[Message]:
            async for request in requests:
                self._note(method, request, context)
                yield _answer(method, request)

        return call


def status_of(request: Any) -> status_pb2.Status:
    """The status that `Fail` is asked for."""
    details: list[Message] = []
    if request.reason:
        details.append(
            error_details_pb2.ErrorInfo(reason=request.reason, domain="library", metadata=dict(request.metadata))
        )
    if request.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=request.field, description="is asked for")
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if request.HasField("retry_delay"):
        details.append(error_details_pb2.RetryInfo(retry_delay=request.retry_delay))
    return status_pb2.Status(code=request.code, message=request.message, details=map(_packed, details))


async def _fail(context: grpc.aio.ServicerContext, request: Any) -> None:
    if request.code:
        await context.abort_with_status(rpc_status.to_status(status_of(request)))


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def _answer(method: MethodDescriptor, request: Message) -> Message:
    """The request as the method's response, which is of the same fields, or of none."""
    answer = GetMessageClass(method.output_type)()
    if method.output_type is method.input_type:
        answer.MergeFromString(request.SerializeToString())
    return answer


def _word(*, many: bool) -> str:
    return "stream" if many else "unary"
