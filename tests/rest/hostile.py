"""Requests that no well-meaning client sends: made of valid ones, from a seed, so that each can be made again."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from aura.kernel.access_table import platform_services
from aura.kernel.contracts import describe
from aura.kernel.gateway.bindings import Binding, bindings_of
from aura.modules import AURA_MODULES
from generated.aura.options.v1 import sensitivity_pb2
from tests.support.rest import http_request_of

SECRET, PUBLIC = "canarybird", "openfinch"
"""What canaries begin with: those that may be nowhere, and those in fields that a log at debug level may show."""
PAGES = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/", "/.well-known/jwks.json")
SELDOM = {"page_token", "etag", "update_mask"}
"""Fields for which few values are right."""
NOT_THERE = "01900000-0000-7000-8000-000000000000"

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request, in the parts that are changed one by one.

    Attributes:
        changes: What was done to it, in order.
        is_whole: Whether the server knows where it ends, so that it has to answer at once.
        is_framed: Whether the next request may follow on the same connection.
    """

    verb: bytes
    target: bytes
    headers: Headers
    body: bytes | None
    version: bytes = b"HTTP/1.1"
    has_length: bool = True
    raw: bytes | None = None
    changes: tuple[str, ...] = ()
    is_whole: bool = True
    is_framed: bool = True

    @property
    def data(self) -> bytes:
        """The bytes of it."""
        if self.raw is not None:
            return self.raw
        headers = list(self.headers)
        if self.body is not None and self.has_length:
            headers.append((b"content-length", str(len(self.body)).encode()))
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        return self.verb + b" " + self.target + b" " + self.version + b"\r\n" + head + b"\r\n" + (self.body or b"")

    @property
    def asks_for_time(self) -> bool:
        """Whether it says how long its caller waits."""
        return b"grpc-timeout" in self.data.lower()


Change = Callable[["Hostile", Request], Request]


@dataclass
class Hostile:
    """Makes requests.

    Attributes:
        ids: Ids and other values of things that are there, by the names of fields that may have them.
        tokens: Access tokens that are valid, and such as were.
    """

    seed: int
    ids: Mapping[str, Sequence[str]]
    tokens: list[str]
    random: random.Random = field(init=False)
    bindings: Sequence[Binding] = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.bindings = bindings_of(map(describe, platform_services(AURA_MODULES)))

    def next(self) -> Request:
        """Returns another request: sometimes a valid one, mostly with one to three changes."""
        self.made += 1
        if self.random.random() < 0.03:
            return self._raw()
        request = self._valid()
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 1, 2, 3))):
            name, change = self.random.choice(CHANGES)
            if request.raw is None:
                request = replace(change(self, request), changes=(*request.changes, name))
        return request

    def canary(self, kind: str = SECRET) -> str:
        """Returns a word that occurs nowhere else."""
        return f"{kind}{self.seed}x{self.made}x{self.random.randrange(10**6)}"

    # ---- valid requests

    def _valid(self) -> Request:
        if self.random.random() < 0.02:
            return Request(verb=b"GET", target=self.random.choice(PAGES).encode(), headers=self._headers(), body=None)
        binding = self.random.choice(self.bindings)
        message = GetMessageClass(binding.method.input_type)()
        self._fill(message, 0)
        made = http_request_of(binding, message)
        headers = self._headers()
        if made.body is not None:
            headers.append((b"content-type", b"application/json"))
        streams = binding.method.server_streaming
        verb = b"GET" if binding.verb == "*" else binding.verb.encode()
        return Request(
            verb=verb,
            target=made.target.encode(),
            headers=headers,
            body=made.body,
            is_whole=not streams,
            is_framed=not streams,
        )

    def _headers(self) -> Headers:
        headers = [
            (b"host", b"127.0.0.1"),
            (b"x-forwarded-for", b"10.%d.%d.1" % divmod(self.random.randrange(2**16), 256)),
        ]
        if self.random.random() < 0.85:
            headers.append((b"authorization", f"Bearer {self.random.choice(self.tokens)}".encode()))
        return headers

    def _fill(self, message: Any, depth: int) -> None:
        for each in message.DESCRIPTOR.fields:
            if self.random.random() < (0.1 if each.name in SELDOM else 0.6) and depth < 4:
                self._fill_field(message, each, depth)

    def _fill_field(self, message: Any, each: FieldDescriptor, depth: int) -> None:
        inside = each.message_type
        if inside is None:
            value = self._scalar(each)
            getattr(message, each.name).append(value) if each.is_repeated else setattr(message, each.name, value)
        elif each.is_repeated:
            self._fill(getattr(message, each.name).add(), depth + 1)
        elif inside.full_name == "google.protobuf.Timestamp":
            at = datetime.now(UTC) + timedelta(minutes=self.random.randrange(-5, 100_000))
            getattr(message, each.name).FromDatetime(at + timedelta(minutes=50) if "end" in each.name else at)
        elif inside.full_name == "google.protobuf.Duration":
            getattr(message, each.name).FromSeconds(self.random.randrange(60, 3600))
        elif inside.full_name == "google.protobuf.FieldMask":
            message.update_mask.paths.append(self.random.choice(("display_name", "*", "email", "locale", "etag", "x")))
        else:
            getattr(message, each.name).SetInParent()
            self._fill(getattr(message, each.name), depth + 1)

    def _scalar(self, each: FieldDescriptor) -> Any:
        if each.type == FieldDescriptor.TYPE_STRING:
            return self._text(each)
        if each.enum_type is not None:
            return self.random.choice(list(each.enum_type.values)).number
        if each.type == FieldDescriptor.TYPE_BOOL:
            return self.random.random() < 0.5
        if each.type == FieldDescriptor.TYPE_BYTES:
            return self.random.randbytes(5)
        if each.name in {"year", "month", "day"}:
            return {"year": 2026, "month": 11, "day": 25}[each.name]
        return self.random.choice((0, 1, 2, 10, 1000))

    def _text(self, each: FieldDescriptor) -> str:
        sensitive = bool(each.GetOptions().Extensions[sensitivity_pb2.sensitivity])
        word = self.canary(SECRET if sensitive else PUBLIC)
        known = self.ids.get(each.name)
        if known and self.random.random() < 0.85:
            return self.random.choice(known)
        if each.name in {"email", "new_email"}:
            return f"{word}@example.com"
        return word

    def _raw(self) -> Request:
        word = self.canary().encode()
        name, data = self.random.choice(
            (
                ("bytes", self.random.randbytes(self.random.randrange(1, 300))),
                ("bytes and line ends", self.random.randbytes(50) + b"\r\n\r\n" + word),
                ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.random.randbytes(200)),
                ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
                ("HTTP/0.9", b"GET /" + word + b"\r\n"),
                ("half a line", b"GET /" + word),
                ("line feeds", b"GET /" + word + b" HTTP/1.1\nhost: a\n\n"),
                ("a folded header", b"GET / HTTP/1.1\r\nhost: a\r\nx: " + word + b"\r\n  " + word + b"\r\n\r\n"),
                ("no colon", b"GET / HTTP/1.1\r\nhost: a\r\n" + word + b"\r\n\r\n"),
                ("a response", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + word),
                ("an empty line first", b"\r\n\r\nGET /" + word + b" HTTP/1.1\r\nhost: a\r\n\r\n"),
                ("nothing but NUL", bytes(self.random.randrange(1, 2000))),
                ("two at once", b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * 2),
                ("PROXY", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n"),
            )
        )
        nothing = Request(verb=b"", target=b"", headers=[], body=None)
        return replace(nothing, raw=data, changes=(f"raw: {name}",), is_whole=False, is_framed=False)


# ---- changes of the body

WRONG = (
    None, True, 0, -1, 1.5, 2**31, 2**63, -(2**63) - 1, 2**64, "", [], {}, [[]], {"a": {}}, "NaN", "1e400", "\x00",
    "9223372036854775808", "99999999999999999999", "true", "2026-13-45T99:99:99Z", "9999-12-31T23:59:59.9999999999Z",
    "0000-00-00T00:00:00Z", "-999999999999999s", "\u202e\u0000\u001b[31m", "\U0010ffff", "a" * 70_000, [None], [1, "a"],
    "' OR 1=1 --", "${jndi:ldap://x}", "../../etc/passwd", "<script>", "%s%n%x", "{{7*7}}",
)  # fmt: skip


def a_wrong_value(hostile: Hostile, request: Request) -> Request:
    value = _json_of(request)
    if not isinstance(value, dict):
        return replace(request, body=json.dumps(hostile.random.choice(WRONG)).encode())
    place = value
    name = hostile.random.choice([*value, "inner"])
    while isinstance(place.get(name), dict) and place[name] and hostile.random.random() < 0.7:
        place = place[name]
        name = hostile.random.choice(list(place))
    place[name] = hostile.random.choice((*WRONG, hostile.canary(PUBLIC), [hostile.canary(PUBLIC)]))
    return replace(request, body=json.dumps(value).encode())


def a_missing_field(hostile: Hostile, request: Request) -> Request:
    value = _json_of(request)
    if isinstance(value, dict) and value:
        del value[hostile.random.choice(list(value))]
    return replace(request, body=json.dumps(value).encode())


def an_unknown_field(hostile: Hostile, request: Request) -> Request:
    value = _json_of(request)
    if isinstance(value, dict):
        name = hostile.random.choice(("unknown", "__proto__", "", "@type", "\x00", "user_id", "a" * 5000, "é\u202e"))
        value[name] = hostile.canary(PUBLIC)
    text = json.dumps(value, ensure_ascii=hostile.random.random() < 0.5)
    return replace(request, body=text.encode(errors="surrogatepass"))


def a_doubled_name(_: Hostile, request: Request) -> Request:
    body = request.body or b"{}"
    return replace(request, body=re.sub(rb'^\{("\w+":)', rb"{\1 1, \1", body))


def a_body_of_something_else(hostile: Hostile, request: Request) -> Request:
    word = hostile.canary()
    body = hostile.random.choice(
        (
            b"", b" ", b"null", b"[]", b'"' + word.encode() + b'"', b"1", b"{", b"}", b"{]", b"{'a': 1}", b"{,}",
            f"{word}=1&b=2".encode(), f"<a>{word}</a>".encode(), b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"{}{}",
            f'{{"email": "{word}", "password": "{word}"'.encode(), b'{"a": NaN}', b'{"a": Infinity}', b"// a\n{}",
            f'{{"email": {word}}}'.encode(), f'{{"email": "{word}\n"}}'.encode(), f'{{"email": "\\{word}"}}'.encode(),
            b'{"pageSize": ' + b"9" * 5000 + b"}", b'{"pageSize": 1e99999999}', b'{"pageSize": -0}',
            b'{"pageSize": 01}',
            b'{"email": "\\ud800"}', b'{"email": "\\ud800\\ud800"}', b'{"email": "\xff\xfe"}',
            b'{"email": "\xed\xa0\x80"}',
            b"[" * 100_000, b'{"user":' * 50_000, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"' + b"a" * 100_000,
            b"{" + b",".join(b'"a%d":1' % number for number in range(5000)) + b"}", bytes(500),
        )
    )  # fmt: skip
    return replace(request, body=body)


def bytes_turned(hostile: Hostile, request: Request) -> Request:
    body = bytearray(request.body or b"{}")
    for _ in range(hostile.random.randrange(1, 4)):
        body[hostile.random.randrange(len(body))] = hostile.random.randrange(256)
    return replace(request, body=bytes(body))


def a_body_cut_short(hostile: Hostile, request: Request) -> Request:
    body = request.body or b"{}"
    return replace(request, body=body[: hostile.random.randrange(len(body))])


# ---- changes of the target


def a_strange_path(hostile: Hostile, request: Request) -> Request:
    path, question, query = request.target.partition(b"?")
    segments = path.split(b"/")
    word = hostile.canary(PUBLIC).encode()
    segments[hostile.random.randrange(len(segments))] = hostile.random.choice(
        (
            b"", b".", b"..", b"%2e%2e", b"..%2f..%2fetc%2fpasswd", b"%", b"%z1", b"%00", b"%ff", b"%C3%28",
            b"%ed%a0%80",
            b"%2F", b"%252F", b"*", b"**", b"{userId}", b":", b"a:b:c", b":deactivate", b"%3Adeactivate", b";a=b",
            b"\xff\xfe", b"\xc3\xa9", b"a" * 9000, word, word + b"%0d%0aset-cookie:%20a=b", b"%0a" + word, b"~", b"%7f",
            b"'", b"\\..\\..", b"%u0041", b"%F4%90%80%80", NOT_THERE.encode(), NOT_THERE.upper().encode(),
        )
    )  # fmt: skip
    return replace(request, target=b"/".join(segments) + question + query)


def a_strange_target(hostile: Hostile, request: Request) -> Request:
    word = hostile.canary(PUBLIC).encode()
    path = request.target
    target = hostile.random.choice(
        (
            b"*", b"//" + path[1:], path + b"/", path + b"//", path + b"#" + word,
            b"http://" + word + b".example" + path,
            b"http://127.0.0.1" + path, b"/" + word, path.upper(), path + b":" + word, b"/api" + path, path + b"\x00",
            path + b"?", b"?" + path, path.replace(b"/", b"\\"), path + b"%20", word + b":443", b"/" * 1000,
        )
    )  # fmt: skip
    return replace(request, target=target)


def a_strange_query(hostile: Hostile, request: Request) -> Request:
    path, _, query = request.target.partition(b"?")
    word = hostile.canary(PUBLIC).encode()
    more = hostile.random.choice(
        (
            b"pageSize=" + hostile.random.choice((b"-1", b"9" * 30, b"1e3", b"0x1", b"", b"\xd9\xa1", b"1.0", word)),
            b"pageToken=" + hostile.random.choice((word, b"%00", b"a" * 3000, b"AAAA", b"%ff")),
            b"filter.module=" + word, b"%6eope=" + word, b"a" * 9000, b"&&&==&=" + word, b"userIds=" * 900,
            b"a&" * 2000,
            query + b"&" + query, b"user.email=" + word, b"startTime=" + word, b"startTime=9999-99-99T00:00:00Z", b"%",
            b"a[]=" + word, b"a[b]=" + word, b"role=99999999999", b"state=" + word, b"module.module.module=" + word,
            b"orderBy=" + word, b"query=" + word, b"\xff=\xff", b"%ff=%fe", b"userIds=" + word + b"&userIds=" + word,
            b"startDate.year=" + word, b"startDate.year=99999999999", b"query=%00%0d%0a", b"$alt=json",
            b"fields=" + word,
        )
    )  # fmt: skip
    return replace(request, target=path + b"?" + hostile.random.choice((query + b"&" + more, more)))


# ---- changes of the rest


def another_method(hostile: Hostile, request: Request) -> Request:
    verb = hostile.random.choice(
        (
            b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"PROPFIND", b"get", b"QUERY",
            b"M-SEARCH", b"BREW", b"G\x00ET", b"G ET", b"", b"A" * 5000, hostile.canary().encode(), b"LOCK", b"PURGE",
        )
    )  # fmt: skip
    known = verb.isalpha() and verb.isupper() and len(verb) < 9
    return replace(request, verb=verb, is_framed=known)


def another_version(hostile: Hostile, request: Request) -> Request:
    versions = (
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"HTTP/1.2",
        b"HTTP/9.9",
        b"http/1.1",
        b"",
        hostile.canary().encode(),
    )
    return replace(request, version=hostile.random.choice(versions), is_framed=False, is_whole=False)


def a_strange_header(hostile: Hostile, request: Request) -> Request:
    word = hostile.canary().encode()
    name, values = hostile.random.choice(_STRANGE_HEADERS)
    value = hostile.random.choice(values)
    return replace(request, headers=[*request.headers, (name, value.replace(b"CANARY", word))])


_STRANGE_HEADERS: Sequence[tuple[bytes, Sequence[bytes]]] = (
    (b"grpc-timeout", (b"1n", b"1u", b"1m", b"0S", b"-1S", b"99999999H", b"999999999S", b"1", b"S", b"1x", b"CANARY")),
    (b"grpc-timeout", (b"1m", b"2m", b"5m", b"10m", b"50m", b" 1S ", b"1S, 2S", b"\xd9\xa1S", b"1.5S")),
    (b"accept", (b"text/html", b"*/*;q=0", b"application/xml", b"CANARY", b",,,;;;", b"a" * 3000, b"application/grpc")),
    (b"accept-encoding", (b"gzip", b"gzip;q=0", b"br, zstd", b"*", b"gzip;q=CANARY", b"gzip" * 500)),
    (b"content-type", (b"text/plain", b"application/xml", b"application/grpc", b"multipart/a; boundary=CANARY")),
    (b"content-type", (b"application/json; charset=utf-16", b"CANARY", b"", b"application/a+json", b";;=", b"\xff")),
    (b"if-match", (b"*", b'"1"', b'W/"1"', b'"', b"CANARY", b'"CANARY"', b'"1", "2"', b'"\xff"', b'"' * 5000)),
    (b"if-none-match", (b"*", b'"1"', b'W/"1", "CANARY"', b"CANARY", b"," * 3000, b'"\xff"')),
    (b"idempotency-key", (b"a", b"a" * 129, b'"', b"\xff", b"\t", b"a b", b"a" * 9000, NOT_THERE.encode(), b"';--")),
    (b"origin", (b"https://CANARY.example", b"null", b"CANARY", b"*", b"file://", b"\xff")),
    (b"access-control-request-method", (b"PUT", b"CANARY")),
    (b"authorization", (b"Bearer CANARY", b"Basic CANARY", b"CANARY", b"", b"Bearer", b"bearer  CANARY", b"\xff\xfe")),
    (b"authorization", (b"Bearer a.b.c", b"Bearer eyJhbGciOiJub25lIn0.e30.", b"Bearer " + b"a" * 9000)),
    (b"x-request-id", (b"", b"a" * 500, b"\xff", b"a b", b"\t", b"../..", b"a\x7f", b'"}{')),
    (b"traceparent", (b"CANARY", b"00-%032d-%016d-00" % (0, 0), b"00-CANARY-1-01", b"\xff", b"a" * 3000)),
    (b"tracestate", (b"CANARY=1", b"\xff", b"," * 3000)),
    (b"user-agent", (b"CANARY", b"", b"\xff\xfe", b"a" * 9000, b"\x1b[31m")),
    (b"x-forwarded-for", (b"CANARY", b"192.0.2.1", b"::1", b"\xff", b"a, b, c", b"1" * 5000)),
    (b"forwarded", (b"for=CANARY", b"for=192.0.2.1;proto=https")),
    (b"x-http-method-override", (b"DELETE", b"CANARY")),
    (b"grpc-metadata-x", (b"CANARY", b"\xff", b"")),
    (b"grpc-metadata-x-bin", (b"CANARY", b"!!!", b"AAAA", b"\xff", b"")),
    (b"grpc-metadata-authorization", (b"Bearer CANARY",)),
    (b"grpc-metadata-x-aura-identity", (b"CANARY", b"a.b.c")),
    (b"grpc-metadata-x-aura-identity-bin", (b"CANARY", b"AAAA")),
    (b"x-aura-identity", (b"CANARY",)),
    (b"x-aura-identity-bin", (b"AAAA",)),
    (b"grpc-metadata-grpc-timeout", (b"1n", b"CANARY")),
    (b"grpc-metadata-:path", (b"CANARY",)),
    (b"grpc-metadata-" + b"a" * 300, (b"CANARY",)),
    (b"grpc-metadata-!", (b"CANARY",)),
    (b"grpc-metadata-", (b"CANARY",)),
    (b"grpc-status-details-bin", (b"CANARY", b"AAAA")),
    (b"te", (b"trailers", b"CANARY")),
    (b"range", (b"bytes=0-1", b"CANARY")),
    (b"cookie", (b"a=CANARY", b";" * 3000)),
    (b"host", (b"CANARY.example", b"", b"a b", b"\xff", b"127.0.0.1:0")),
    (b"connection", (b"close", b"keep-alive", b"host", b"CANARY", b"upgrade, http2-settings")),
    (b"x", (b"\xff\xfe", b"\t", b"\x01", b"a\x00b", b"a\x7f", b"a" * 15_000, b"a" * 40_000)),
    (b"x y", (b"CANARY",)),
    (b"", (b"CANARY",)),
    (b"\xff", (b"CANARY",)),
)  # fmt: skip


def what_is_not_awaited(hostile: Hostile, request: Request) -> Request:
    """Headers after which a server may wait for more, or close the connection."""
    header = hostile.random.choice(
        (
            (b"upgrade", b"h2c"), (b"upgrade", b"websocket"), (b"expect", b"100-continue"),
            (b"expect", hostile.canary().encode()),
            (b"connection", b"upgrade"), (b"trailer", b"authorization"),
        )
    )  # fmt: skip
    return replace(request, headers=[*request.headers, header], is_framed=False, is_whole=False)


def many_headers(hostile: Hostile, request: Request) -> Request:
    count = hostile.random.choice((50, 200, 3000))
    word = hostile.canary().encode()
    kind = hostile.random.choice((b"x%d", b"grpc-metadata-x%d"))
    return replace(request, headers=[*request.headers, *((kind % number, word) for number in range(count))])


def no_headers(hostile: Hostile, request: Request) -> Request:
    kept = [each for each in request.headers if hostile.random.random() < 0.3]
    return replace(request, headers=kept)


_NO_LENGTHS = (b"-1", b"+1", b"0x1", b"1e1", b"", b" ", b"1, 1", b"\xff", b"9" * 30)
_NO_ENCODINGS = (b"gzip", b"identity", b"chunked, chunked", b"CHUNKED", b"xchunked")


def another_length(hostile: Hostile, request: Request) -> Request:
    """Says of the body something that is not so, or not allowed."""
    length = len(request.body or b"")
    headers: Sequence[tuple[bytes, bytes]] = hostile.random.choice(
        (
            [(b"content-length", str(length + hostile.random.choice((1, 1000, 10**6, 10**8, 10**12))).encode())],
            [(b"content-length", str(max(length - 1, 0)).encode())],
            [(b"content-length", hostile.random.choice(_NO_LENGTHS))],
            [(b"content-length", b"1"), (b"content-length", b"2")],
            [(b"content-length", b"%d" % length), (b"content-length", b"%d" % length)],
            [(b"content-length", b"%d" % length), (b"transfer-encoding", b"chunked")],
            [(b"transfer-encoding", hostile.random.choice(_NO_ENCODINGS))],
            [(b"transfer-encoding", b"chunked")],
            [],
        )
    )  # fmt: skip
    return replace(request, headers=[*request.headers, *headers], has_length=False, is_framed=False, is_whole=False)


def chunks(hostile: Hostile, request: Request) -> Request:
    """Sends the body in chunks, some of them not as they should be."""
    body = request.body or b"{}"
    word = hostile.canary().encode()
    made = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:3], body[3:]) if part)
    right = hostile.random.random() < 0.5
    end = b"0\r\n\r\n"
    if not right:
        made, end = hostile.random.choice(
            (
                (made, b""), (made, b"0\r\n"), (made, b"0\r\n" + word + b": a\r\n\r\n"),
                (made, b"0;" + word + b"\r\n\r\n"),
                (b"zz\r\n" + made, end), (b"ffffffffffffffff\r\n" + made, end), (b"-1\r\n" + made, end),
                (b"5\r\n" + made, end),
                (made.replace(b"\r\n", b"\n"), end), (b"5;a=" + b"b" * 20_000 + b"\r\n" + made, end),
                (b"1\r\n{\r\n" * 3000, end),
            )
        )  # fmt: skip
    headers = [*request.headers, (b"transfer-encoding", b"chunked")]
    return replace(
        request,
        headers=headers,
        body=made + end,
        has_length=False,
        is_framed=False,
        is_whole=right and request.is_whole,
    )


def packed(hostile: Hostile, request: Request) -> Request:
    body = request.body or b"{}"
    whole = gzip.compress(body)
    body, how = hostile.random.choice(
        (
            (whole, b"gzip"), (whole[:-5], b"gzip"), (whole[:12], b"gzip"), (whole + whole, b"gzip"), (body, b"gzip"),
            (whole + b"rubbish", b"gzip"), (b"\x1f\x8b", b"gzip"), (b"", b"gzip"),
            (gzip.compress(bytes(6_000_000)), b"gzip"),
            (gzip.compress(whole), b"gzip, gzip"), (whole, b"GZIP"), (whole, b"x-gzip"), (body, b"br"),
            (body, b"deflate"),
            (body, hostile.canary().encode()), (body, b"identity"), (whole, b""),
            (b"\x1f\x8b\x08" + bytes(3000), b"gzip"),
        )
    )  # fmt: skip
    return replace(request, body=body, headers=[*request.headers, (b"content-encoding", how)])


def _json_of(request: Request) -> Any:
    try:
        return json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        return {}


CHANGES: Sequence[tuple[str, Change]] = tuple(
    (change.__name__, change)
    for change, weight in {
        a_wrong_value: 5,
        a_missing_field: 1,
        an_unknown_field: 1,
        a_doubled_name: 1,
        a_body_of_something_else: 4,
        bytes_turned: 2,
        a_body_cut_short: 1,
        a_strange_path: 4,
        a_strange_target: 2,
        a_strange_query: 4,
        another_method: 2,
        another_version: 1,
        a_strange_header: 9,
        what_is_not_awaited: 1,
        many_headers: 1,
        no_headers: 1,
        another_length: 1,
        chunks: 2,
        packed: 2,
    }.items()
    for _ in range(weight)
)
