from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from aura.kernel.reflection import SERVICES, add_reflection
from generated.aura.users.v1 import user_service_pb2 as pb

SERVED = "aura.users.v1.UserService"
VERSIONS = ["grpc.reflection.v1", "grpc.reflection.v1alpha"]
NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]

Request = reflection_pb2.ServerReflectionRequest


@dataclass
class Reflection:
    address: str

    async def ask(self, request: Request, version: str = VERSIONS[0]) -> reflection_pb2.ServerReflectionResponse:
        """Asks by the wire's own means, as any client would."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            call = channel.stream_stream(
                f"/{version}.ServerReflection/ServerReflectionInfo",
                Request.SerializeToString,
                reflection_pb2.ServerReflectionResponse.FromString,
            )(iter([request]), timeout=10)
            (response,) = [response async for response in call]
        return response

    async def files(self, **request: Any) -> list[descriptor_pb2.FileDescriptorProto]:
        response = await self.ask(Request(**request))
        assert response.HasField("file_descriptor_response"), response.error_response
        serialized = response.file_descriptor_response.file_descriptor_proto
        return [descriptor_pb2.FileDescriptorProto.FromString(file) for file in serialized]

    async def with_stock_client(self, use: Callable[[ProtoReflectionDescriptorDatabase], Any]) -> Any:
        def work() -> Any:
            with grpc.insecure_channel(self.address) as channel:
                return use(ProtoReflectionDescriptorDatabase(channel))

        return await asyncio.to_thread(work)


@pytest.fixture
async def reflection() -> AsyncIterator[Reflection]:
    server = grpc.aio.server()
    add_reflection([SERVED], server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield Reflection(address)
    await server.stop(0)


async def test_the_stock_client_lists_the_services_served(reflection: Reflection):
    services = await reflection.with_stock_client(lambda database: list(database.get_services()))

    assert sorted(services) == sorted([SERVED, *SERVICES])


@pytest.mark.parametrize("version", VERSIONS)
async def test_lists_the_services_served(reflection: Reflection, version: str):
    response = await reflection.ask(Request(list_services=""), version)

    names = [service.name for service in response.list_services_response.service]
    assert names == sorted([SERVED, *SERVICES])


async def test_the_stock_client_builds_a_served_service(reflection: Reflection):
    def methods(database: ProtoReflectionDescriptorDatabase) -> list[str]:
        pool = descriptor_pool.DescriptorPool(database)
        return [method.name for method in pool.FindServiceByName(SERVED).methods]

    served = pb.DESCRIPTOR.services_by_name["UserService"].methods
    assert await reflection.with_stock_client(methods) == [method.name for method in served]


@pytest.mark.parametrize("service", SERVICES)
async def test_the_stock_client_builds_reflection_itself(reflection: Reflection, service: str):
    def types(database: ProtoReflectionDescriptorDatabase) -> tuple[str, str]:
        (method,) = descriptor_pool.DescriptorPool(database).FindServiceByName(service).methods
        return method.input_type.full_name, method.output_type.full_name

    package = service.removesuffix(".ServerReflection")
    assert await reflection.with_stock_client(types) == (
        f"{package}.ServerReflectionRequest",
        f"{package}.ServerReflectionResponse",
    )


@pytest.mark.parametrize(
    "symbol",
    [
        "aura.users.v1.UserService",
        "aura.users.v1.UserService.GetUser",
        "aura.users.v1.GetUserRequest",
        "aura.users.v1.GetUserRequest.user_id",
        "aura.users.v1.User",
        "aura.users.v1.UserState",
        "aura.users.v1.USER_STATE_ACTIVE",
    ],
)
async def test_finds_a_symbol_of_a_served_file(reflection: Reflection, symbol: str):
    first, *_ = await reflection.files(file_containing_symbol=symbol)

    assert first.package == "aura.users.v1"


async def test_gives_a_file_with_all_it_imports(reflection: Reflection):
    files = await reflection.files(file_containing_symbol=f"{SERVED}.GetUser")

    names = {file.name for file in files}
    assert files[0].name == "aura/users/v1/user_service.proto"
    assert {name for file in files for name in file.dependency} <= names


@pytest.mark.parametrize(
    "request_fields",
    [
        {"file_containing_symbol": "aura.mentalhealth.v1.TherapySession"},
        {"file_containing_symbol": "aura.mentalhealth.v1.TherapySessionService"},
        {"file_containing_symbol": "aura.mentalhealth.v1.TherapySessionService.GetTherapySession"},
        {"file_containing_symbol": "aura.users.v1.UserService.DropUsers"},
        {"file_containing_symbol": "aura.users.v1.Ghost"},
        {"file_containing_symbol": "aura.users.v1"},
        {"file_containing_symbol": "UserService"},
        {"file_containing_symbol": ""},
        {"file_containing_symbol": "." * 1000},
        {"file_by_filename": "aura/mentalhealth/v1/therapy_session.proto"},
        {"file_by_filename": "../../../etc/passwd"},
        {"file_by_filename": ""},
        {"all_extension_numbers_of_type": "aura.mentalhealth.v1.TherapySession"},
        {
            "file_containing_extension": reflection_pb2.ExtensionRequest(
                containing_type="google.protobuf.FieldOptions", extension_number=50_999
            )
        },
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_does_not_find_what_is_not_served(reflection: Reflection, request_fields: dict[str, Any], version: str):
    response = await reflection.ask(Request(**request_fields), version)

    assert response.error_response.error_code == NOT_FOUND


async def test_finds_a_file_by_its_name(reflection: Reflection):
    first, *_ = await reflection.files(file_by_filename="aura/users/v1/user.proto")

    assert "User" in [message.name for message in first.message_type]


async def test_finds_our_own_options(reflection: Reflection):
    extension = reflection_pb2.ExtensionRequest(containing_type="google.protobuf.FieldOptions", extension_number=51001)

    first, *_ = await reflection.files(file_containing_extension=extension)

    assert first.name == "aura/options/v1/sensitivity.proto"


@pytest.mark.parametrize(
    "request_fields",
    [
        {"list_services": "*"},
        {"file_containing_symbol": f"{SERVED}.GetUser"},
        {"file_by_filename": "aura/users/v1/user.proto"},
        {"file_containing_symbol": "no.such.Thing"},
        {"all_extension_numbers_of_type": "google.protobuf.FieldOptions"},
        {"host": "x"},
    ],
)
async def test_both_versions_answer_alike(reflection: Reflection, request_fields: dict[str, Any]):
    stable, alpha = [await reflection.ask(Request(**request_fields), version) for version in VERSIONS]

    assert stable == alpha


async def test_answers_many_requests_on_one_stream(reflection: Reflection):
    requests = [Request(list_services="") for _ in range(10)]

    async with grpc.aio.insecure_channel(reflection.address) as channel:
        call = channel.stream_stream(
            f"/{SERVICES[1]}/ServerReflectionInfo",
            Request.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )(iter(requests), timeout=10)
        responses = [response async for response in call]

    assert len(responses) == 10
