"""The pages beside the gateway: who is led where, what is cached, and what may only be read."""

import asyncio
from http import HTTPStatus

import pytest

from aura.kernel.gateway import Gateway
from aura.kernel.gateway.docs_page import DOCS_PATHS
from aura.kernel.http.application import HttpApplication, asset_page, home_page, metrics_page, ready_page, written_once
from tests.gateway.client import Client

ready, written = [True], []


async def is_ready():
    return ready[0]


def write():
    written.append("once")
    if len(written) == 1:
        raise ValueError("the first time")
    return b"{}"


@pytest.fixture
def client():
    ready[:], written[:] = [True], []
    pages = {"": home_page, "/readyz": ready_page(is_ready), "/written": written_once(write)}
    pages |= {path: asset_page(path) for path in DOCS_PATHS}
    return Client(HttpApplication(gateway=Gateway([], lambda _: None), pages=pages))


async def test_who_comes_with_a_browser_is_led_to_the_documents(client):
    answer = await client("GET", "/")

    assert (answer.status, answer.header("location")) == (302, "/docs")


@pytest.mark.parametrize("path", ["/readyz", "/readyz/", "/docs", "/docs/"])
async def test_a_page_is_at_its_path_with_and_without_a_slash(client, path):
    assert (await client("GET", path)).status == 200


@pytest.mark.parametrize("path", ["/docs/nothing", "/%72eadyz", "/readyz%2F"])
async def test_everything_else_is_the_gateways(client, path):
    assert (await client("GET", path)).reason == "ROUTE_NOT_FOUND"


async def test_figures_are_made_once_for_all_who_ask_at_a_time():
    made = []

    async def render():
        made.append(1)
        await asyncio.sleep(0.01)
        return b"figures"

    client = Client(HttpApplication(gateway=Gateway([], lambda _: None), pages={"/metrics": metrics_page(render)}))

    answers = await asyncio.gather(*(client("GET", "/metrics") for _ in range(5)))

    assert ([answer.body for answer in answers], made) == ([b"figures"] * 5, [1])


async def test_pages_are_only_read(client):
    answer = await client("POST", "/docs", {})

    assert (answer.status, answer.header("allow"), answer.json["code"]) == (405, "GET, HEAD", 12)


async def test_head_has_no_body(client):
    got, head = await client("GET", "/docs"), await client("HEAD", "/docs")

    assert (head.status, head.body, head.header("content-length")) == (200, b"", got.header("content-length"))


async def test_files_that_a_browser_has_are_not_sent_again(client):
    first = await client("GET", "/docs/page.js")

    second = await client("GET", "/docs/page.js", if_none_match=first.header("etag"))

    assert (second.status, second.body, second.header("content-length")) == (304, b"", None)


async def test_a_process_that_is_not_ready_says_so(client):
    ready[:] = [False]

    answer = await client("GET", "/readyz")

    assert (answer.status, answer.json) == (HTTPStatus.SERVICE_UNAVAILABLE, {"status": "NOT_SERVING"})


async def test_a_page_that_takes_long_is_written_once_and_again_if_that_failed(client):
    first = await client("GET", "/written")

    answers = await asyncio.gather(*(client("GET", "/written") for _ in range(3)))

    assert (first.status, first.json["code"]) == (500, 13)
    assert [answer.body for answer in answers] == [b"{}"] * 3
    assert written == ["once"] * 2
