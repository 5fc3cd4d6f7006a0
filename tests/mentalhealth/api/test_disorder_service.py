from __future__ import annotations

import grpc
import pytest

from generated.aura.mentalhealth.v1 import disorder_pb2
from generated.aura.mentalhealth.v1 import disorder_service_pb2 as pb
from tests.support.failures import failure_of
from tests.support.platform import Platform


@pytest.mark.parametrize("code", ["F33.1", "f331"])
async def test_reads_a_disorder_by_its_code(platform: Platform, code: str):
    disorder = await platform.disorders.GetDisorder(pb.GetDisorderRequest(code=code))

    assert disorder.title == "Major depressive disorder, recurrent, moderate"
    assert disorder.kind == disorder_pb2.DISORDER_KIND_SUBCATEGORY
    assert disorder.billable


async def test_does_not_find_an_unknown_code(platform: Platform):
    failure = await failure_of(platform.disorders.GetDisorder(pb.GetDisorderRequest(code="F00.0")))

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.reason == "DISORDER_NOT_FOUND"


@pytest.mark.parametrize("page_size", [0, 7, 1000, 10**9])
async def test_pages_lead_through_the_whole_catalogue(platform: Platform, page_size: int):
    codes, token = [], ""
    while True:
        page = await platform.disorders.ListDisorders(pb.ListDisordersRequest(page_size=page_size, page_token=token))
        codes += [disorder.code for disorder in page.disorders]
        assert len(page.disorders) <= min(page_size or 50, 1000)
        token = page.next_page_token
        if not token:
            break

    assert len(codes) == len(set(codes)) == 1124
    assert codes[:3] == ["F01-F99", "F01-F09", "F01"]


async def test_lists_what_is_right_below_a_code(platform: Platform):
    page = await platform.disorders.ListDisorders(pb.ListDisordersRequest(parent_code="f33", billable_only=True))

    assert [disorder.code for disorder in page.disorders] == ["F33.0", "F33.1", "F33.2", "F33.3", "F33.8", "F33.9"]


async def test_lists_the_blocks(platform: Platform):
    page = await platform.disorders.ListDisorders(pb.ListDisordersRequest(kind=disorder_pb2.DISORDER_KIND_BLOCK))

    assert len(page.disorders) == 11


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
        ({"page_token": "x" * 10_000}, "page_token"),
        ({"kind": 77}, "kind"),
        ({"parent_code": "x" * 10_000}, "parent_code"),
    ],
)
async def test_refuses_bad_queries(platform: Platform, fields: dict, path: str):
    failure = await failure_of(platform.disorders.ListDisorders(pb.ListDisordersRequest(**fields)))

    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.fields == [path]
