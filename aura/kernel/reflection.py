"""gRPC server reflection: shows the services that this server hosts, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

ALPHA, STABLE = "grpc.reflection.v1alpha", "grpc.reflection.v1"
METHOD = "ServerReflectionInfo"
STREAMS = 16
"""How many clients are answered at a time: answers are long, and one that is not read has to be kept."""
SERVICES = (f"{ALPHA}.ServerReflection", f"{STABLE}.ServerReflection")


class ServedReflection(ReflectionServicer):  # type: ignore[misc] # the package has no types
    """Answers for its own pool only, and for methods too, which the stock servicer does not find."""

    _streams = 0

    async def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 gRPC's
        """Answers each request; refuses a client when there are too many of them."""
        if self._streams >= STREAMS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many clients use reflection; try again")
        self._streams += 1
        try:
            async for answer in super().ServerReflectionInfo(request_iterator, context):
                yield answer
        finally:
            self._streams -= 1

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        service, _, method = fully_qualified_name.rpartition(".")
        with suppress(KeyError):
            if method in self._pool.FindServiceByName(service).methods_by_name:
                fully_qualified_name = service
        return super()._file_containing_symbol(request, fully_qualified_name)


def add_reflection(services: Collection[str], server: grpc.aio.Server) -> None:
    """Serves reflection, in both of its versions, for the services named and for itself."""
    pool = pool_of(services)
    pool.Add(_stable_file())
    servicer = ServedReflection(service_names=[*services, *SERVICES], pool=pool)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICES[1], {METHOD: handler}),))


def pool_of(services: Iterable[str]) -> descriptor_pool.DescriptorPool:
    """Returns a pool that holds the files of these services and what they import."""
    pool, added = descriptor_pool.DescriptorPool(), set[str]()
    for service in [*services, SERVICES[0]]:
        _add_with_imports(descriptor_pool.Default().FindServiceByName(service).file, pool, added)
    return pool


def _add_with_imports(file: FileDescriptor, pool: descriptor_pool.DescriptorPool, added: set[str]) -> None:
    if file.name in added:
        return
    added.add(file.name)
    for dependency in file.dependencies:
        _add_with_imports(dependency, pool, added)
    pool.AddSerializedFile(file.serialized_pb)


def _stable_file() -> descriptor_pb2.FileDescriptorProto:
    """Returns the contract of the stable version: that of v1alpha, which grpcio ships, under its final name."""
    file = descriptor_pb2.FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    file.name, file.package = file.name.replace("v1alpha", "v1"), STABLE
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(ALPHA, STABLE)
    for method in file.service[0].method:
        method.input_type, method.output_type = (
            name.replace(ALPHA, STABLE) for name in (method.input_type, method.output_type)
        )
    return file
