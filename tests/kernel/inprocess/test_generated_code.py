"""Stock generated stubs and servicers, and gRPC's own helpers, on every transport."""

import asyncio

import grpc
from google.rpc.code_pb2 import NOT_FOUND
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from tests.kernel.inprocess.harness import handler

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_the_health_service(harness):
    served = await harness.serve({})
    servicer = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, served.server)
    await servicer.set("", SERVING)
    stub = health_pb2_grpc.HealthStub(served.channel)

    assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=20)).status == SERVING

    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    await servicer.set("", NOT_SERVING)
    assert (await watch.read()).status == NOT_SERVING
    watch.cancel()


async def test_the_reflection_service(harness):
    served = await harness.serve({})
    reflection.enable_server_reflection(["aura.test.v1.TestService"], served.server)
    stub = reflection_pb2_grpc.ServerReflectionStub(served.channel)

    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answers = [answer async for answer in stub.ServerReflectionInfo([request], timeout=20)]

    assert [service.name for service in answers[0].list_services_response.service] == ["aura.test.v1.TestService"]


async def test_rich_error_details(harness):
    details = ErrorInfo(reason="USER_GONE", domain="users.aura")

    async def fail(_request, context):
        status = Status(code=NOT_FOUND, message="no such user")
        status.details.add().Pack(details)
        await context.abort_with_status(rpc_status.to_status(status))

    served = await harness.serve({"Fail": handler("unary_unary", fail)})

    try:
        await served.call("unary_unary", "Fail")
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)

    unpacked = ErrorInfo()
    assert status.details[0].Unpack(unpacked)
    assert (status.message, unpacked) == ("no such user", details)


async def test_calls_can_be_gathered_shielded_and_waited_for(harness):
    async def echo(request, _context):
        await asyncio.sleep(0.01)
        return request

    served = await harness.serve({"Echo": handler("unary_unary", echo)})

    def call():
        return served.call("unary_unary", "Echo")

    await asyncio.gather(call(), call())
    await asyncio.shield(call())
    await asyncio.wait_for(call(), 20)
    async with asyncio.timeout(20):
        await call()
    done, pending = await asyncio.wait([asyncio.ensure_future(call())])
    assert len(done) == 1
    assert not pending
