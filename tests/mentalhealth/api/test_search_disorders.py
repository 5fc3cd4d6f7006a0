from __future__ import annotations

import grpc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from generated.aura.mentalhealth.v1 import disorder_service_pb2 as pb
from tests.mentalhealth.api.search_cases import AMONG_FIVE, FIRST
from tests.support.failures import failure_of
from tests.support.platform import Platform

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def platform(shared_platform: Platform) -> Platform:
    return shared_platform


async def search(platform: Platform, query: str, **options: object) -> list[pb.DisorderMatch]:
    answer = await platform.disorders.SearchDisorders(pb.SearchDisordersRequest(query=query, **options))
    return list(answer.matches)


async def codes_of(platform: Platform, query: str, **options: object) -> list[str]:
    return [match.disorder.code for match in await search(platform, query, **options)]


async def test_finds_exactly_what_was_named_first(platform: Platform):
    assert len(FIRST) + len(AMONG_FIVE) >= 80

    found = {query: (await codes_of(platform, query))[:1] for query in FIRST}

    assert found == {query: [code] for query, code in FIRST.items()}


async def test_finds_what_was_hinted_at_among_the_first(platform: Platform):
    found = {query: (await codes_of(platform, query))[:5] for query in AMONG_FIVE}

    assert [query for query, codes in found.items() if AMONG_FIVE[query] not in codes] == []


@pytest.mark.parametrize("query", ["f33", "F33", "F33.", " f33 "])
async def test_lists_a_category_in_the_order_of_the_catalogue(platform: Platform, query: str):
    expected = "F33 F33.0 F33.1 F33.2 F33.3 F33.4 F33.40 F33.41 F33.42 F33.8 F33.9"

    assert await codes_of(platform, query) == expected.split()


@pytest.mark.parametrize("text", ["anxiety neurosis", "Anxiety Neurosis", "generalised anxiety disorder"])
async def test_finds_while_one_types(platform: Platform, text: str):
    typed = [text[:end] for end in range(3, len(text) + 1)]

    missed = [query for query in typed if "F41.1" not in await codes_of(platform, query)]

    assert missed == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("f33", "F33"),
        ("generalized anxiety", "Generalized anxiety disorder"),
        ("anxiety neurosis", "Anxiety neurosis"),
        ("ptsd", "PTSD"),
        ("alcohol use disorder", "alcohol use disorder"),
        ("ptsd chronic", "Post-traumatic stress disorder, chronic"),
    ],
)
async def test_says_what_matched(platform: Platform, query: str, text: str):
    best, *_ = await search(platform, query)

    assert best.matched_text == text


async def test_shows_whole_entries(platform: Platform):
    best, *_ = await search(platform, "anxiety neurosis")

    assert best.disorder == await platform.disorders.GetDisorder(pb.GetDisorderRequest(code="F41.1"))


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("social anxiety disorder", ["F40.10", "F40.11"]),
        ("ptsd", ["F43.10", "F43.11", "F43.12"]),
        ("f43.1", ["F43.10", "F43.11", "F43.12"]),
        ("aud", ["F10.10", "F10.20"]),
    ],
)
async def test_finds_only_diagnoses_where_those_are_asked_for(platform: Platform, query: str, codes: list[str]):
    found = await search(platform, query, billable_only=True)

    assert [match.disorder.code for match in found][: len(codes)] == codes
    assert all(match.disorder.billable for match in found)


@pytest.mark.parametrize(("page_size", "count"), [(0, 20), (1, 1), (20, 20), (99, 99), (101, 100), (2**31 - 1, 100)])
async def test_limits_the_answer(platform: Platform, page_size: int, count: int):
    found = await codes_of(platform, "disorder", page_size=page_size)

    assert len(set(found)) == len(found) == count


@pytest.mark.parametrize("query", ["disorder", "an", "f", "mood disorder", "alcohol use"])
async def test_gives_the_same_answer_each_time(platform: Platform, query: str):
    hundred = await codes_of(platform, query, page_size=100)

    assert hundred == await codes_of(platform, query, page_size=100)
    assert hundred[:7] == await codes_of(platform, query, page_size=7)


@pytest.mark.parametrize(
    "query",
    [
        "& | ! <-> : * ( ) ' \" \\ %",
        "😀",
        "\x00",
        "--",
        "...",
        " ",
        "zzz",
        "anxiety zzz",
        "Angststörung",
        "不安障害",
        "leprosy",
    ],
)
async def test_finds_nothing_where_there_is_nothing(platform: Platform, query: str):
    assert await codes_of(platform, query) == []


@pytest.mark.parametrize(
    "query",
    [
        "anxiety & neurosis",
        "'anxiety':* | neurosis",
        "anxiety\x00neurosis",
        "!anxiety <-> (neurosis)",
        "anxiety%neurosis_\\",
    ],
)
async def test_operators_mean_nothing(platform: Platform, query: str):
    assert (await codes_of(platform, query))[0] == "F41.1"


@pytest.mark.parametrize(
    ("fields", "path"),
    [({"query": ""}, "query"), ({"query": "x" * 10_000}, "query"), ({"query": "x", "page_size": -1}, "page_size")],
)
async def test_refuses_bad_queries(platform: Platform, fields: dict, path: str):
    failure = await failure_of(platform.disorders.SearchDisorders(pb.SearchDisordersRequest(**fields)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == [path]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(max_size=300), billable_only=st.booleans())
@example(query="s", billable_only=False)
@example(query="\u3300" * 200, billable_only=False)
@example(query="' \\' a:*&", billable_only=True)
@example(query=" ".join("abcdefghij") * 10, billable_only=False)
async def test_no_text_makes_it_fail(platform: Platform, query: str, *, billable_only: bool):
    if 1 <= len(query) <= 200:
        await search(platform, query, billable_only=billable_only)
    else:
        failure = await failure_of(platform.disorders.SearchDisorders(pb.SearchDisordersRequest(query=query)))
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
