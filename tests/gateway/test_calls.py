"""Calls: headers, errors, streams, and clients that go away."""

import asyncio
import gzip
import json
import time

import grpc
import pytest
from google.rpc import code_pb2

from aura.kernel.gateway import BodyLimits, Gateway
from aura.kernel.gateway.bodies import BodyRoom
from aura.kernel.gateway.json_reader import parse_json
from aura.kernel.gateway.refusals import BadRequest
from aura.kernel.inprocess import InProcessServer
from tests.gateway import library
from tests.gateway.client import CLIENT, Client
from tests.gateway.conftest import ORIGIN
from tests.support.ports import free_port

HTTP = {
    "CANCELLED": 499, "UNKNOWN": 500, "INVALID_ARGUMENT": 400, "DEADLINE_EXCEEDED": 504, "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429, "FAILED_PRECONDITION": 400,
    "ABORTED": 409, "OUT_OF_RANGE": 400, "UNIMPLEMENTED": 501, "INTERNAL": 500, "UNAVAILABLE": 503, "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}  # fmt: skip


def metadata_of(seen):
    return [(key, value) for key, value in seen.metadata if key != "user-agent"]


@pytest.mark.parametrize(("code", "status"), HTTP.items())
async def test_an_error_has_the_http_status_of_its_code(client, code, status):
    answer = await client("GET", f"/v1/failures/{code_pb2.Code.Value(code)}?message=why")

    assert (answer.status, answer.json) == (
        status,
        {"code": code_pb2.Code.Value(code), "message": "why", "details": []},
    )
    assert answer.header("www-authenticate") == ("Bearer" if status == 401 else None)


async def test_an_error_keeps_its_details(client):
    body = {"code": 8, "message": "m", "reason": "R", "metadata": {"a": "b"}, "field": "x.y", "retryDelay": "1.2s"}

    answer = await client("POST", "/v1/failures", body)

    assert answer.detail("ErrorInfo") == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "R", "domain": "library", "metadata": {"a": "b"},
    }  # fmt: skip
    assert answer.fields == ["x.y"]
    assert answer.detail("RetryInfo")["retryDelay"] == "1.200s"
    assert answer.header("retry-after") == "2"


async def test_a_refused_token_is_told_as_rfc_6750_says(client):
    answer = await client("GET", "/v1/failures/16", authorization="Bearer x")

    assert answer.header("www-authenticate") == 'Bearer error="invalid_token"'


async def test_headers_become_metadata(client, servicer):
    await client(
        "GET",
        "/v1/books/1",
        authorization="Bearer t",
        traceparent="00-1-2-01",
        x_request_id="r",
        user_agent="curl/8 é",
        grpc_metadata_x_own="v",
        **{"grpc-metadata-x-bytes-bin": "AAE", "x-other": "no", "cookie": "no", "accept": "*/*"},
    )

    assert sorted(metadata_of(servicer.seen[0])) == [
        ("authorization", "Bearer t"),
        ("grpcgateway-user-agent", "curl/8 "),
        ("traceparent", "00-1-2-01"),
        ("x-bytes-bin", b"\0\1"),
        ("x-forwarded-for", CLIENT[0]),
        ("x-own", "v"),
        ("x-request-id", "r"),
    ]


async def test_forged_metadata_is_left_out(client, servicer):
    forged = {
        "grpc-metadata-x-aura-identity": "root",
        "grpc-metadata-x-forwarded-for": "10.0.0.1",
        "grpc-metadata-grpc-status": "0",
        "grpc-metadata-host": "h",
        "x-aura-identity": "root",
        "x-forwarded-for": "10.9.9.9",
    }

    await client("GET", "/v1/books/1", **forged)

    assert metadata_of(servicer.seen[0]) == [("x-forwarded-for", f"10.9.9.9, {CLIENT[0]}")]


@pytest.mark.parametrize(
    "headers",
    [
        {"grpc-metadata-x-é": "v"},
        {"grpc-metadata-x": "\u00e9"},
        {"grpc-metadata-x-bin": "*"},
        {"authorization": "Bearer \u00e9"},
        {"x-forwarded-for": "\x01"},
        {"grpc-timeout": "1"},
        {"grpc-timeout": "-1S"},
        {"grpc-timeout": "0S"},
        {"grpc-timeout": "999999999S"},
        {"grpc-timeout": "1s"},
        {"grpc-timeout": "\u00b2S"},
    ],
    ids=str,
)
async def test_a_header_that_cannot_be_metadata_is_refused(servicer, gateway, headers):
    client = Client(gateway)

    answer = await client("GET", "/v1/books/1", **{name.encode().decode("latin-1"): v for name, v in headers.items()})

    assert (answer.status, answer.reason, servicer.seen) == (400, "MALFORMED_REQUEST", [])


async def test_answers_have_the_headers_that_keep_browsers_out_of_trouble(client):
    for answer in (
        await client("GET", "/v1/books/1"),
        await client("GET", "/v1/failures/5"),
        await client("GET", "/x"),
    ):
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("cache-control") == "no-store"
        assert "default-src 'none'" in answer.header("content-security-policy")
        assert answer.header("content-type") == "application/json"


async def test_pages_of_known_origins_may_call(client):
    answer = await client("GET", "/v1/books/1", origin=ORIGIN)
    preflight = await client("OPTIONS", "/v1/everything", origin=ORIGIN, access_control_request_method="POST")

    assert answer.header("access-control-allow-origin") == ORIGIN
    assert "x-request-id" in answer.header("access-control-expose-headers")
    assert answer.header("access-control-allow-credentials") is None
    assert preflight.header("access-control-allow-methods") == "GET, HEAD, OPTIONS, POST"
    assert "authorization" in preflight.header("access-control-allow-headers")


async def test_pages_of_other_origins_may_not(client):
    answer = await client("GET", "/v1/books/1", origin="https://evil.example")
    preflight = await client("OPTIONS", "/v1/everything", origin="null", access_control_request_method="POST")

    assert answer.header("access-control-allow-origin") is None
    assert answer.header("vary") == "origin"
    assert preflight.header("access-control-allow-methods") is None


async def test_large_answers_are_packed_for_who_takes_that(client):
    plain = await client("GET", f"/v1/everything?stringValue={'x' * 2000}")
    packed = await client("GET", f"/v1/everything?stringValue={'x' * 2000}", accept_encoding="br, gzip;q=0.5")
    refused = await client("GET", f"/v1/everything?stringValue={'x' * 2000}", accept_encoding="gzip;q=0")
    any_packed = await client("GET", f"/v1/everything?stringValue={'x' * 2000}", accept_encoding="*")

    assert packed.header("content-encoding") == any_packed.header("content-encoding") == "gzip"
    assert gzip.decompress(packed.body) == plain.body == refused.body
    assert len(packed.body) == int(packed.header("content-length")) < len(plain.body)


async def test_bodies_may_be_packed(client):
    body = gzip.compress(json.dumps({"stringValue": "x" * 50_000}).encode())

    answer = await client("POST", "/v1/everything", body, content_encoding="gzip")

    assert answer.json["stringValue"] == "x" * 50_000


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b" " * 1_000_000, mtime=0), "gzip", 413),
        (b"{}", "gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-9], "gzip", 400),
        (gzip.compress(b"{}", mtime=0) + b"x", "gzip", 400),
        (gzip.compress(b'{"stringValue":"a"', mtime=0) + gzip.compress(b"}", mtime=0), "gzip", 400),
        (b"{}", "br", 415),
        (b" " * 100_001, "", 413),
    ],
)
async def test_bodies_that_are_too_large_or_packed_wrongly_are_refused(client, servicer, body, encoding, status):
    answer = await client("POST", "/v1/everything", body, content_encoding=encoding)

    assert (answer.status, servicer.seen) == (status, [])


@pytest.mark.parametrize("behind", [[b"x"], [b"x" * 60_000] * 20])
async def test_nothing_is_kept_of_what_comes_behind_a_packed_body(client, behind):
    answer = await client("POST", "/v1/everything", parts=[gzip.compress(b"{}"), *behind], content_encoding="gzip")

    assert (answer.status, answer.header("connection")) == (400, "close")


async def test_a_line_is_unpacked_no_further_than_it_may_be_long(client):
    answer = await client("POST", "/v1/books:upload", parts=[gzip.compress(b" " * 50_000_000)], content_encoding="gzip")

    assert (answer.status, answer.reason) == (413, "BODY_TOO_LARGE")


async def test_an_object_with_many_names_takes_no_longer_than_others():
    text = json.dumps({f"n{number}": 0 for number in range(150_000)})[:-1] + ', "n149999": 1}'
    begin = time.process_time()

    with pytest.raises(BadRequest, match="n149999 twice"):
        parse_json(text.encode())

    assert time.process_time() - begin < 3


async def test_a_body_of_very_many_values_is_refused():
    with pytest.raises(BadRequest, match="commas"):
        parse_json(b"[" + b"[]," * 300_000 + b"[]]")


async def test_bodies_share_the_room_for_them(servicer, gateway):
    gateway._room = BodyRoom(1000)
    client = Client(gateway)

    refused = await client("POST", "/v1/everything", b" " * 600 + b"{}" + b" " * 600)
    taken = [await client("POST", "/v1/everything", b" " * 900 + b"{}") for _ in range(3)]

    assert (refused.status, refused.reason, refused.header("retry-after")) == (503, "OVERLOADED", "1")
    assert [answer.status for answer in taken] == [200] * 3


async def test_who_comes_too_often_is_refused_before_the_body_is_read(servicer, gateway):
    gateway._admit = lambda metadata: 1.5 if ("x-forwarded-for", CLIENT[0]) in metadata else 0.0

    answer = await Client(gateway)("POST", "/v1/everything", content_length="5", parts=[])

    assert (answer.status, answer.reason) == (429, "RATE_LIMITED")
    assert (answer.header("retry-after"), answer.header("connection")) == ("2", "close")


@pytest.mark.parametrize(
    "headers",
    [{"grpc-metadata-x": "v" * 15_000}, {f"grpc-metadata-x{number}": "" for number in range(400)}],
    ids=["long", "many"],
)
async def test_more_metadata_than_grpc_takes_is_refused(client, servicer, headers):
    answer = await client("GET", "/v1/books/1", **headers)

    assert (answer.status, answer.reason, servicer.seen) == (431, "HEADERS_TOO_LARGE", [])


async def test_a_body_without_a_length_is_counted(client):
    answer = await client("POST", "/v1/everything", parts=[b" " * 60_000] * 2)

    assert (answer.status, answer.reason, answer.header("connection")) == (413, "BODY_TOO_LARGE", "close")


async def test_a_client_that_goes_before_its_body_is_there_gets_no_answer(client, servicer):
    leave = asyncio.Event()
    leave.set()

    answer = await client("POST", "/v1/everything", content_length="5", parts=[], leave=leave)

    assert (answer.status, servicer.seen) == (0, [])


async def test_a_slow_body_is_given_up(gateway):
    async def receive():
        await asyncio.sleep(60)

    sent = []
    scope = {"type": "http", "method": "POST", "raw_path": b"/v1/everything", "query_string": b"", "client": CLIENT}

    async def send(message):
        sent.append(message)

    await gateway(scope | {"headers": [(b"content-length", b"5")]}, receive, send)

    assert sent[0]["status"] == 408


async def test_a_stream_is_lines(client):
    seen = []

    answer = await client("GET", "/v1/shelves/1/books:watch?count=3", seen=seen.append)

    assert (answer.status, answer.header("content-type")) == (200, "application/x-ndjson")
    assert [line["result"]["parent"] for line in answer.lines] == ["shelves/1"] * 3
    assert len(seen) == 3


async def test_a_stream_answers_with_a_field_of_each_response(client):
    answer = await client("GET", "/v1/watches/x/books?count=1&book.title=t")

    assert answer.lines[0]["result"]["title"] == "t"


async def test_a_stream_that_fails_at_once_has_an_http_status(client):
    answer = await client("POST", "/v1/watches", {"code": 7})

    assert (answer.status, answer.json["code"], answer.header("content-type")) == (403, 7, "application/json")


async def test_a_stream_that_fails_later_ends_with_its_error(client):
    answer = await client("POST", "/v1/watches", {"count": 2, "code": 7})

    assert (answer.status, [[*line] for line in answer.lines]) == (200, [["result"], ["result"], ["error"]])
    assert answer.lines[2]["error"]["code"] == 7


async def test_head_of_a_stream_ends(waiting, client):
    head = await client("HEAD", "/v1/shelves/1/books:watch?count=3")
    silent = await waiting.client("HEAD", "/v1/shelves/1/books:watch")

    assert (head.status, head.body) == (200, b"")
    assert (silent.status, silent.body) == (200, b"")


async def test_streams_end_when_the_gateway_stops(waiting):
    begun = asyncio.Event()
    asking = asyncio.create_task(waiting.client("GET", "/v1/shelves/1/books:watch"))
    await waiting.began.wait()
    begun.set()

    waiting.client.application.stop()

    answer = await asking
    assert (answer.status, answer.json["code"], answer.header("retry-after")) == (503, 14, "1")


async def test_a_call_that_the_server_cuts_off_is_answered(waiting):
    asking = asyncio.create_task(waiting.client("GET", "/v1/books/1"))
    await waiting.began.wait()

    asking.cancel()

    answer = await asking
    assert (answer.status, answer.json["code"]) == (503, 14)


async def test_an_empty_stream_is_empty(client):
    answer = await client("POST", "/v1/watches", {})

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize(
    "parts", [[b'{"parent":"a"}\n{"parent":"b"}\n'], [b'{"par', b'ent":"a"}\n\n{"parent"', b':"b"}']]
)
async def test_a_stream_of_requests_is_lines(client, servicer, parts):
    answer = await client("POST", "/v1/books:upload", parts=parts, content_type="application/x-ndjson")

    assert (answer.json["parent"], answer.json["count"], len(servicer.seen)) == ("b", 2, 2)


async def test_path_and_query_are_in_each_request_of_a_stream(client, servicer):
    await client("POST", "/v1/shelves/1/books:upload?count=7", parts=[b'{"title":"a"}\n{"title":"b"}'])

    requests = [library.message_class("WatchRequest").FromString(seen.request) for seen in servicer.seen]
    assert [(each.parent, each.count, each.book.title) for each in requests] == [
        ("shelves/1", 7, "a"), ("shelves/1", 7, "b"),
    ]  # fmt: skip


async def test_a_wrong_line_ends_a_stream_of_requests(client):
    answer = await client("POST", "/v1/books:upload", parts=[b'{"parent":"a"}\n{"absent":1}\n'])

    assert (answer.status, answer.fields) == (400, ["absent"])
    assert answer.json["message"].startswith("line 2: ")


async def test_a_line_that_is_too_long_ends_a_stream_of_requests(client):
    answer = await client("POST", "/v1/books:upload", parts=[b"{}\n", b" " * 60_000, b" " * 60_000])

    assert (answer.status, answer.reason) == (413, "BODY_TOO_LARGE")


async def test_streams_both_ways(client):
    answer = await client("POST", "/v1/books:talk", parts=[b'{"parent":"a"}\n', b'{"parent":"b"}\n'])

    assert [line["result"]["parent"] for line in answer.lines] == ["a", "b"]


class Waiting(grpc.GenericRpcHandler):
    """Answers nothing until it is cancelled."""

    def __init__(self):
        self.cancelled = asyncio.Event()
        self.began = asyncio.Event()
        self.remaining = None

    def service(self, handler_call_details):
        request_class = library.message_class("GetBookRequest")
        if handler_call_details.method.endswith("Watch"):
            request_class = library.message_class("WatchRequest")
            return grpc.unary_stream_rpc_method_handler(self._stream, request_class.FromString)
        return grpc.unary_unary_rpc_method_handler(self._one, request_class.FromString)

    async def _one(self, _, context):
        self.remaining = context.time_remaining()
        self.began.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _stream(self, request, context):
        await self._one(request, context)
        yield b""


@pytest.fixture
async def waiting():
    server, waiting = InProcessServer(), Waiting()
    library.service()
    server.add_generic_rpc_handlers((waiting,))
    async with server.channel() as channel:
        waiting.client = Client(Gateway([library.service()], lambda _: channel, timeout=5.0))
        yield waiting
    await server.stop(None)


@pytest.mark.parametrize("target", ["/v1/books/1", "/v1/shelves/1/books:watch"])
async def test_a_client_that_goes_has_its_call_cancelled(waiting, target):
    leave = asyncio.Event()
    asking = asyncio.create_task(waiting.client("GET", target, leave=leave))
    await waiting.began.wait()

    leave.set()

    async with asyncio.timeout(5):
        await waiting.cancelled.wait()
        assert (await asking).status == 0 or target.endswith("watch")


async def test_a_call_has_the_time_that_its_client_gives_it(waiting):
    answer = await waiting.client("GET", "/v1/books/1", grpc_timeout="50m")

    assert (answer.status, answer.json["code"]) == (504, 4)
    assert waiting.remaining <= 0.05


async def test_a_call_whose_client_says_nothing_has_a_time_too(waiting):
    asking = asyncio.create_task(waiting.client("GET", "/v1/books/1"))
    await waiting.began.wait()
    asking.cancel()

    assert 4 < waiting.remaining <= 5


async def test_a_stream_that_has_nothing_to_say_yet_begins_to_answer(waiting):
    leave, begun = asyncio.Event(), asyncio.Event()

    class Noting:
        async def __call__(self, scope, receive, send):
            async def noted(message):
                if message["type"] == "http.response.start":
                    begun.set()
                await send(message)

            await waiting.client.application(scope, receive, noted)

    asking = asyncio.create_task(Client(Noting())("GET", "/v1/shelves/1/books:watch", leave=leave))

    async with asyncio.timeout(5):
        await begun.wait()
    leave.set()
    await asking


async def test_a_service_that_is_not_there(waiting):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{free_port()}") as channel:
        client = Client(Gateway([library.service()], lambda _: channel, limits=BodyLimits(size=1000, seconds=1)))

        answer = await client("GET", "/v1/books/1")

    assert (answer.status, answer.json["code"]) == (503, 14)
