from __future__ import annotations

import base64

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from aura.kernel.errors import Code
from aura.kernel.pagination import Page, PageTokenInvalid, PageTokens, page_size_of
from aura.kernel.security.keys import KeyRing
from generated.aura.mentalhealth.v1.disorder_service_pb2 import ListDisordersRequest

TOKENS = PageTokens(KeyRing(b"the secret of the tests, 32 bytes"))
POSITION = ["F33.1", 42, None, True]


def query(**fields: object) -> ListDisordersRequest:
    return ListDisordersRequest(**{"parent_code": "F33", "page_size": 2, **fields})


def token(request: Message | None = None, actor: str = "ada") -> str:
    return TOKENS.seal(POSITION, request=request or query(), actor=actor)


def is_refused(page_token: str, actor: str = "ada", **fields: object) -> bool:
    try:
        TOKENS.open(request=query(page_token=page_token, **fields), actor=actor)
    except PageTokenInvalid:
        return True
    return False


json_values = st.none() | st.booleans() | st.integers() | st.text()


@given(position=st.lists(json_values), actor=st.text())
def test_opens_what_it_sealed(position: list[object], actor: str):
    sealed = TOKENS.seal(position, request=query(), actor=actor)

    assert TOKENS.open(request=query(page_token=sealed), actor=actor) == position


def test_the_first_page_has_no_position():
    assert TOKENS.open(request=query(), actor="ada") is None


def test_the_last_page_has_no_token():
    assert TOKENS.seal(None, request=query(), actor="ada") == ""


def test_a_token_tells_nothing_of_the_position():
    assert b"F33" not in base64.urlsafe_b64decode(token())
    assert token() != token()


def test_a_token_fits_into_its_field():
    long = TOKENS.seal(["F" * 500], request=query(), actor="ada")

    assert len(long) < 1000


def test_a_token_stands_in_a_url_as_it_is():
    assert all(set(token()) <= set(base64.urlsafe_b64encode(bytes(range(256))).decode() + "=-_") for _ in range(20))


def test_the_refusal_names_the_field():
    with pytest.raises(PageTokenInvalid) as caught:
        TOKENS.open(request=query(page_token="x"), actor="ada")

    assert (caught.value.code, caught.value.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert [violation.field for violation in caught.value.violations] == ["page_token"]


@pytest.mark.parametrize("page_size", [0, 1, 1000])
def test_the_page_size_may_change_from_page_to_page(page_size: int):
    assert TOKENS.open(request=query(page_token=token(), page_size=page_size), actor="ada") == POSITION


@pytest.mark.parametrize("change", [{"parent_code": "F32"}, {"parent_code": ""}, {"billable_only": True}, {"kind": 1}])
def test_refuses_the_token_of_another_query(change: dict[str, object]):
    assert is_refused(token(), **change)


@pytest.mark.parametrize("actor", ["", "bob", "Ada", "ada\0"])
def test_refuses_the_token_of_another_actor(actor: str):
    assert is_refused(token(), actor=actor)


def test_refuses_the_token_of_another_method():
    """A request with the same fields and content; only the name of its type differs."""
    file = descriptor_pb2.FileDescriptorProto(name="other.proto", package="other", syntax="proto3")
    ListDisordersRequest.DESCRIPTOR.CopyToProto(file.message_type.add())
    file.message_type[0].ClearField("options")
    for field in file.message_type[0].field:
        field.ClearField("options")
        if field.type_name:
            field.ClearField("type_name")
            field.type = field.TYPE_INT32
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    other = message_factory.GetMessageClass(pool.FindMessageTypeByName("other.ListDisordersRequest"))

    assert is_refused(token(other(parent_code="F33")))


def test_refuses_the_token_of_another_key():
    others = PageTokens(KeyRing(b"another secret of the tests, also 32 bytes"))

    assert is_refused(others.seal(POSITION, request=query(), actor="ada"))


def test_refuses_a_token_cut_short_anywhere():
    whole = token()

    assert all(is_refused(whole[:length]) for length in range(1, len(whole)))


def test_refuses_a_token_with_any_bit_flipped():
    whole = token().encode()
    flipped = [
        whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :] for at in range(len(whole)) for bit in range(7)
    ]

    assert [damaged for damaged in flipped if not is_refused(damaged.decode())] == []


@pytest.mark.parametrize("change", ["{}!", "!{}", "{} ", "{}\n", "{}=", "{}A"])
def test_refuses_a_token_with_something_added(change: str):
    assert is_refused(change.format(token()))


@pytest.mark.parametrize(
    "page_token",
    [
        "x",
        "====",
        "not base64 at all!",
        "ünïcödé",
        "☺" * 10,
        "\0",
        "A" * 16,
        "A" * 10_000,
        "A" * 9_999,
        "'; --",
        "\ud7ff",
    ],
)
def test_refuses_what_is_no_token(page_token: str):
    assert is_refused(page_token)


@given(page_token=st.text(min_size=1))
def test_refuses_any_other_text(page_token: str):
    assert is_refused(page_token)


@pytest.mark.parametrize(
    ("requested", "given"), [(0, 50), (1, 1), (50, 50), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)]
)
def test_page_size(requested: int, given: int):
    assert page_size_of(requested) == given


@pytest.mark.parametrize(("found", "items", "end"), [("", "", None), ("ab", "ab", None), ("abc", "ab", ["b"])])
def test_a_page_ends_where_the_next_one_begins(found: str, items: str, end: list[str] | None):
    page = Page.cut(list(found), size=2, key=lambda item: [item])

    assert (list(page.items), page.end) == (list(items), end)
