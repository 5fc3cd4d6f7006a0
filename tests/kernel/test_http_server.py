"""The HTTP server: what a connection may take, and what it is told that does not keep to it."""

import asyncio
import contextlib
import json
import ssl

import pytest

from aura.kernel.http.protocol import HttpLimits
from aura.kernel.http.server import HttpServer
from aura.kernel.listening import listen
from tests.gateway.client import exchange
from tests.support.certificates import certificates, files_of

GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
MALFORMED = {
    "no HTTP": b"\x16\x03\x01 hello\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\n\r\n",
    "version 3": b"GET / HTTP/3.0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "a space in a header's name": GET + b"a : b\r\n\r\n",
    "a folded header": GET + b"a: b\r\n c\r\n\r\n",
    "a header without a colon": GET + b"abc\r\n\r\n",
    "a control character": GET + b"a: \x00\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "a length and chunks": b"POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "an unknown transfer encoding": b"POST / HTTP/1.1\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "a length with a sign": b"POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\na",
    "a length that is too long": b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    "a chunk without a size": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    "a bare line feed in chunks": b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1\na\n0\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nhost: x\rfoo: bar\r\n\r\n",
}


async def echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    text = json.dumps([scope["method"], scope["raw_path"].decode(), len(body)]).encode()
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


@pytest.fixture
async def serve():
    servers = []

    def start(application=echo, tls=None, **limits):
        chosen = {"connections": 100, "header_bytes": 4096, "header_seconds": 0.3} | limits
        server = HttpServer(listen("127.0.0.1", 0), application, HttpLimits(**chosen), tls)
        server.start()
        servers.append(server)
        return server

    yield start
    await asyncio.gather(*(server.stop(1) for server in servers))


def parsed(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_no_request_is_refused_and_the_connection_closed(serve, request_bytes):
    status, body = parsed(await exchange(serve().port, request_bytes))

    assert (status, body["code"]) == (400, 3)


async def test_nothing_behind_a_smuggled_request_is_served(serve):
    smuggled = MALFORMED["a length and chunks"] + b"GET /secret HTTP/1.1\r\nhost: x\r\n\r\n"

    answer = await exchange(serve().port, smuggled)

    assert answer.count(b"content-length") == 1
    assert b"secret" not in answer


@pytest.mark.parametrize(
    "headers",
    [b"".join(b"h%d: v\r\n" % number for number in range(2000)), b"a: " + b"x" * 5000, b"x" * 5000 + b": a"],
    ids=["many", "long value", "long name"],
)
async def test_headers_that_are_too_long_are_refused(serve, headers):
    status, body = parsed(await exchange(serve().port, GET + headers + b"\r\n\r\n"))

    assert (status, "4096" in body["message"]) == (431, True)


async def test_a_first_line_that_is_too_long_is_refused(serve):
    status, _ = parsed(await exchange(serve().port, b"GET /" + b"x" * 10_000))

    assert status == 431


@pytest.mark.parametrize("begun", [b"", b"G", GET, GET + b"a: "], ids=["nothing", "a letter", "a line", "a header"])
async def test_a_request_that_does_not_come_is_given_up(serve, begun):
    answer = await exchange(serve().port, begun)

    assert parsed(answer)[0] == 408


async def test_several_requests_come_by_one_connection(serve):
    reader, writer = await asyncio.open_connection("127.0.0.1", serve().port)

    for _ in range(3):
        writer.write(GET + b"\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n")
        await reader.readuntil(b"]")
        await asyncio.sleep(0.2)  # less than a request may take, all of them more
    writer.close()


async def test_what_stands_behind_a_body_is_no_header(serve):
    seen = []

    async def noting(scope, receive, send):
        await echo(scope, receive, send)
        seen.extend(name for name, _ in scope["headers"])

    chunks = b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"

    assert b"200 OK" in await exchange(serve(noting).port, head + chunks)
    assert seen == [b"host", b"connection", b"transfer-encoding"]


class Held:
    """Answers when it is let, and notes who went before."""

    def __init__(self):
        self.let, self.gone = asyncio.Event(), asyncio.Event()
        self.asked = 0

    async def __call__(self, scope, receive, send):
        self.asked += 1
        letting = asyncio.create_task(self.let.wait())
        leaving = asyncio.create_task(self._left(receive))
        await asyncio.wait({letting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        letting.cancel()
        leaving.cancel()
        if not self.gone.is_set():
            await echo_without_body(scope, receive, send)

    async def _left(self, receive):
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


async def echo_without_body(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def test_requests_that_come_at_once_are_answered_in_turn(serve):
    targets = [b"/1", b"/2", b"/3"]
    requests = b"".join(b"GET " + target + b" HTTP/1.1\r\nhost: x\r\n\r\n" for target in targets)

    answer = await exchange(serve().port, requests + b"GET /4 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

    assert [answer.index(b'"' + target) for target in [*targets, b"/4"]] == sorted(
        answer.index(b'"' + target) for target in [*targets, b"/4"]
    )


@pytest.mark.parametrize("behind", [b"", GET + b"\r\n", b"GET / HT"], ids=["nothing", "a request", "half of one"])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_client_that_goes_is_noticed_whatever_it_sent_behind(serve, behind, at_once):
    held = Held()
    _, writer = await asyncio.open_connection("127.0.0.1", serve(held).port)

    writer.write(GET + b"\r\n" + (behind if at_once else b""))
    await asyncio.sleep(0.05)
    writer.write(b"" if at_once else behind)
    await asyncio.sleep(0.05)
    writer.close()

    async with asyncio.timeout(5):
        await held.gone.wait()


@pytest.mark.parametrize("at_once", [True, False])
async def test_requests_are_not_piled_up(serve, at_once):
    held = Held()
    reader, writer = await asyncio.open_connection("127.0.0.1", serve(held).port)
    writer.write(GET + b"\r\n")
    if not at_once:
        await asyncio.sleep(0.05)
    writer.write((GET + b"\r\n") * 1000)

    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    assert held.asked <= 1


@pytest.mark.parametrize("behind", [b"GET / HT", b"rubbish\r\n\r\n"])
async def test_an_answer_under_way_is_not_disturbed_by_what_comes_behind(serve, behind):
    held = Held()
    reader, writer = await asyncio.open_connection("127.0.0.1", serve(held).port)
    writer.write(GET + b"\r\n" + behind)
    await asyncio.sleep(0.5)

    held.let.set()

    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1 ") <= 2


async def test_an_early_answer_ends_a_connection_whose_body_is_not_read(serve):
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\nexpect: 100-continue\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", serve(echo_without_body).port)
    writer.write(head)
    assert b"200 OK" in await reader.readuntil(b"ok")

    writer.write(GET + b"\r\n")

    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


async def test_the_answer_to_a_body_that_is_too_long_arrives(serve):
    reader, writer = await asyncio.open_connection("127.0.0.1", serve(echo_without_body).port)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 500000\r\n\r\n" + b"x" * 500_000)

    async with asyncio.timeout(10):
        assert (await reader.read()).endswith(b"ok")
    writer.close()


async def test_empty_lines_keep_no_connection_open(serve):
    reader, writer = await asyncio.open_connection("127.0.0.1", serve().port)
    writer.write(GET + b"\r\n")
    await reader.readuntil(b"]")

    async with asyncio.timeout(10):
        while not reader.at_eof():
            writer.write(b"\r\n")
            with contextlib.suppress(TimeoutError, ConnectionError):
                await asyncio.wait_for(reader.read(1000), 0.1)
    writer.close()


async def test_connections_that_are_too_many_are_closed(serve):
    server = serve(connections=2)
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
    await asyncio.sleep(0.05)

    assert await exchange(server.port, GET + b"\r\n") == b""
    for _, writer in held:
        writer.close()
    await asyncio.sleep(0.05)
    assert b"200 OK" in await exchange(server.port, GET + b"connection: close\r\n\r\n")


async def test_a_stop_lets_answers_end(serve):
    answering = asyncio.Event()

    async def slow(scope, receive, send):
        answering.set()
        await asyncio.sleep(0.3)
        await echo(scope, receive, send)

    server = serve(slow)
    port = server.port
    asking = asyncio.create_task(exchange(port, GET + b"\r\n"))
    await answering.wait()

    await server.stop(5)

    assert b"200 OK" in await asking
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def serial_of(port, folder, own=None):
    """The serial number of the certificate that a server shows to who trusts the authority."""
    trust = ssl.create_default_context(cafile=folder / "ca.pem")
    if own:
        trust.load_cert_chain(folder / f"{own}.pem", folder / f"{own}.key")
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    try:
        writer.write(GET + b"connection: close\r\n\r\n")
        assert b"200 OK" in await reader.read()
        return writer.get_extra_info("peercert")["serialNumber"]
    finally:
        writer.close()


async def test_it_is_encrypted_and_its_certificate_renewed_without_a_restart(serve, tmp_path):
    certificates(tmp_path, ("server",))
    server = serve(tls=files_of(tmp_path))
    first = await serial_of(server.port, tmp_path)

    certificates(tmp_path, ("server",))

    assert await serial_of(server.port, tmp_path) != first


async def test_a_certificate_that_cannot_be_used_leaves_the_old_one(serve, tmp_path):
    certificates(tmp_path, ("server",))
    server = serve(tls=files_of(tmp_path))
    first = await serial_of(server.port, tmp_path)

    (tmp_path / "server.key").write_text("rubbish")

    assert await serial_of(server.port, tmp_path) == first


async def test_with_an_authority_of_clients_admits_only_those_it_has_signed(serve, tmp_path):
    certificates(tmp_path, ("server", "ada"))
    server = serve(tls=files_of(tmp_path, mutual=True))

    assert await serial_of(server.port, tmp_path, "ada")
    with pytest.raises((ssl.SSLError, AssertionError, ConnectionError)):
        await serial_of(server.port, tmp_path)


async def test_a_handshake_that_does_not_come_is_given_up(serve, tmp_path):
    certificates(tmp_path, ("server",))
    reader, writer = await asyncio.open_connection("127.0.0.1", serve(tls=files_of(tmp_path)).port)

    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_who_speaks_plain_text_to_an_encrypted_port_gets_nothing(serve, tmp_path):
    certificates(tmp_path, ("server",))

    assert b"HTTP" not in await exchange(serve(tls=files_of(tmp_path)).port, GET + b"\r\n")
