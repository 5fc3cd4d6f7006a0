"""gRPC's public interoperability cases, by their names, with a test service of our own, on every transport."""

import asyncio

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import BytesValue

from tests.kernel.inprocess.harness import SERVICE, Harness, grouped, handler

LARGE_REQUEST = 271_828
LARGE_RESPONSE = 314_159
SIZES = (31_415, 9, 2_653, 58_979)
REQUEST_SIZES = (27_182, 8, 1_828, 45_904)


def _payload(size):
    return {"body": "0" * size}


def _message(**fields):
    struct = Struct()
    struct.update(fields)
    return struct


async def _empty(_request, _context):
    return Empty()


async def _unary(request, context):
    await _echo_metadata(context)
    status = request.fields.get("status")
    if status is not None:
        await context.abort(int(status.struct_value["code"]), status.struct_value["message"])
    return _message(payload=_payload(int(request["response_size"])))


async def _collect(requests, _context):
    return _message(total=sum([len(request["payload"]["body"]) async for request in requests]))


async def _stream(request, _context):
    for size in request["sizes"]:
        yield _message(payload=_payload(int(size)))


async def _duplex(requests, context):
    await _echo_metadata(context)
    async for request in requests:
        status = request.fields.get("status")
        if status is not None:
            await context.abort(int(status.struct_value["code"]), status.struct_value["message"])
        for size in request["sizes"]:
            yield _message(payload=_payload(int(size)))


async def _echo_metadata(context):
    received = grouped(context.invocation_metadata())
    if "x-grpc-test-echo-initial" in received:
        await context.send_initial_metadata((("x-grpc-test-echo-initial", received["x-grpc-test-echo-initial"][0]),))
        trailing = received["x-grpc-test-echo-trailing-bin"][0]
        context.set_trailing_metadata((("x-grpc-test-echo-trailing-bin", trailing),))


class Stub:
    def __init__(self, channel):
        def method(kind, name, request=Struct, response=Struct):
            return getattr(channel, kind)(f"/{SERVICE}/{name}", request.SerializeToString, response.FromString)

        self.empty = method("unary_unary", "EmptyCall", Empty, Empty)
        self.unary = method("unary_unary", "UnaryCall")
        self.streaming_input = method("stream_unary", "StreamingInputCall")
        self.streaming_output = method("unary_stream", "StreamingOutputCall")
        self.full_duplex = method("stream_stream", "FullDuplexCall")
        self.unimplemented = method("unary_unary", "UnimplementedCall", Empty, Empty)
        self.unimplemented_service = channel.unary_unary(
            "/aura.test.v1.UnimplementedService/UnimplementedCall", Empty.SerializeToString, Empty.FromString
        )


@pytest.fixture
async def stub(harness: Harness):
    def of(kind, behaviour, request=Struct, response=Struct):
        return handler(kind, behaviour, request.FromString, response.SerializeToString)

    served = await harness.serve(
        {
            "EmptyCall": of("unary_unary", _empty, Empty, Empty),
            "UnaryCall": of("unary_unary", _unary),
            "StreamingInputCall": of("stream_unary", _collect),
            "StreamingOutputCall": of("unary_stream", _stream),
            "FullDuplexCall": of("stream_stream", _duplex),
        }
    )
    return Stub(served.channel)


async def test_empty_unary(stub):
    assert await stub.empty(Empty()) == Empty()


async def test_large_unary(stub):
    response = await stub.unary(_message(response_size=LARGE_RESPONSE, payload=_payload(LARGE_REQUEST)))

    assert len(response["payload"]["body"]) == LARGE_RESPONSE


async def test_client_streaming(stub):
    response = await stub.streaming_input(_message(payload=_payload(size)) for size in REQUEST_SIZES)

    assert response["total"] == sum(REQUEST_SIZES)


async def test_server_streaming(stub):
    sizes = [len(response["payload"]["body"]) async for response in stub.streaming_output(_message(sizes=SIZES))]

    assert tuple(sizes) == SIZES


async def test_ping_pong(stub):
    call = stub.full_duplex()

    for request_size, size in zip(REQUEST_SIZES, SIZES, strict=True):
        await call.write(_message(sizes=[size], payload=_payload(request_size)))
        assert len((await call.read())["payload"]["body"]) == size
    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_empty_stream(stub):
    call = stub.full_duplex()

    await call.done_writing()

    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_cancel_after_begin(stub):
    call = stub.streaming_input()

    assert call.cancel()

    assert call.cancelled()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_cancel_after_first_response(stub):
    call = stub.full_duplex()
    await call.write(_message(sizes=[SIZES[0]], payload=_payload(REQUEST_SIZES[0])))
    await call.read()

    assert call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call.read()
    assert await call.code() is grpc.StatusCode.CANCELLED


async def test_timeout_on_sleeping_server(stub):
    call = stub.full_duplex(timeout=0.05)
    await call.write(_message(sizes=[], payload=_payload(REQUEST_SIZES[0])))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_custom_metadata(stub):
    metadata = (
        ("x-grpc-test-echo-initial", "test_initial_metadata_value"),
        ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"),
    )
    unary = stub.unary(_message(response_size=1), metadata=metadata)
    await unary
    duplex = stub.full_duplex(metadata=metadata)
    await duplex.write(_message(sizes=[1]))
    await duplex.read()
    await duplex.done_writing()

    for call in (unary, duplex):
        assert grouped(await call.initial_metadata()) == {"x-grpc-test-echo-initial": ["test_initial_metadata_value"]}
    assert grouped(await unary.trailing_metadata()) == {"x-grpc-test-echo-trailing-bin": [b"\xab\xab\xab"]}
    assert await duplex.read() is grpc.aio.EOF
    assert grouped(await duplex.trailing_metadata()) == {"x-grpc-test-echo-trailing-bin": [b"\xab\xab\xab"]}


@pytest.mark.parametrize(
    "text", ["test status message", "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"]
)
async def test_status_code_and_message_and_special_status_message(stub, text):
    status = {"code": 2, "message": text}

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.unary(_message(status=status))
    call = stub.full_duplex()
    await call.write(_message(status=status))
    with pytest.raises(grpc.aio.AioRpcError) as raised_by_stream:
        await call.read()

    for error in (raised.value, raised_by_stream.value):
        assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, text)


async def test_unimplemented_method(stub):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.unimplemented(Empty())

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_unimplemented_service(stub):
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.unimplemented_service(Empty())

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_bytes_of_every_value(harness):
    async def echo(request, _context):
        return request

    served = await harness.serve(
        {"Echo": handler("unary_unary", echo, BytesValue.FromString, BytesValue.SerializeToString)}
    )
    stub = served.stub("unary_unary", "Echo", BytesValue.SerializeToString, BytesValue.FromString)

    assert (await stub(BytesValue(value=bytes(range(256))))).value == bytes(range(256))
