"""The page in a browser is made of files that are installed here, and of nothing else."""

from __future__ import annotations

import re

import pytest

from aura.kernel.gateway.docs_page import DOCS_HEADERS, DOCS_PATHS, docs_asset


@pytest.mark.parametrize(
    ("path", "kind", "part"),
    [
        ("/docs", "text/html", b"<!DOCTYPE html>"),
        ("/docs/", "text/html", b"<!DOCTYPE html>"),
        ("/docs/page.css", "text/css", b"body"),
        ("/docs/page.js", "text/javascript", b"SwaggerUIBundle"),
        ("/docs/swagger-ui.css", "text/css", b".swagger-ui"),
        ("/docs/swagger-ui-bundle.js", "text/javascript", b"SwaggerUIBundle"),
    ],
)
def test_each_file_is_there(path: str, kind: str, part: bytes):
    asset = docs_asset(path)

    assert asset is not None
    assert asset.content_type == f"{kind}; charset=utf-8"
    assert part in asset.body
    assert asset == docs_asset(path)


@pytest.mark.parametrize("path", ["/", "/docs/nothing", "/docs/../page.js", "/docs//page.js", "/docs/page.html"])
def test_nothing_else_is(path: str):
    assert docs_asset(path) is None


def test_files_that_differ_have_tags_that_differ():
    tags = {asset.etag for asset in map(docs_asset, DOCS_PATHS) if asset}

    assert len(tags) == len(DOCS_PATHS)
    assert all(re.fullmatch('"[0-9a-f]{16}"', tag) for tag in tags)


def test_swagger_ui_is_one_that_reads_openapi_3_1():
    bundle = docs_asset("/docs/swagger-ui-bundle.js")

    assert bundle is not None
    version = re.search(rb'PACKAGE_VERSION:"(\d+)\.', bundle.body)
    assert version is not None
    assert int(version[1]) >= 5


def test_the_page_names_only_what_is_served_here():
    page = docs_asset("/docs")

    assert page is not None
    named = set(re.findall(r'(?:href|src)="([^"]+)"', page.body.decode()))
    assert named - DOCS_PATHS == {"/openapi.json", "data:,"}
    assert b"<script>" not in page.body
    assert b"style=" not in page.body


def test_nothing_inline_and_nothing_from_elsewhere_is_let_in():
    policy = dict(rule.split(" ", 1) for rule in DOCS_HEADERS["content-security-policy"].split("; "))

    assert policy.pop("img-src") == "'self' data:"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
