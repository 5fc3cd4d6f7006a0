"""The gateway answers as Envoy does, which transcodes by the same http.proto, but where a sentence says otherwise.

AURA_ENVOY_EXAMPLES sets how many requests hypothesis makes; `make diff-envoy` has it make 6,000.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc_tools
import pytest
from google.api import http_pb2

from aura.kernel.gateway import Gateway
from tests.gateway.envoy import differences
from tests.gateway.envoy.corpus import corpus
from tests.gateway.envoy.differences import EXPLAINED, HTTP_PROTO, Explained, explanation_of
from tests.gateway.envoy.oddities import oddities
from tests.gateway.envoy.side_by_side import services, side_by_side
from tests.support.http_exchange import HttpRequest

EXAMPLES = int(os.environ.get("AURA_ENVOY_EXAMPLES", "300"))
IN_FULL = EXAMPLES > 1000
SAMPLE = 4
"""One request of so many is sent by `make test`."""

PAGE = Path(__file__).parents[3] / "docs" / "gateway-and-envoy.md"
SHOWN = 20

Record = Callable[[str, object], None]


async def test_answers_as_envoy_does(tmp_path: Path, record_figure: Record):
    written = corpus(services())
    sent = [*(written if IN_FULL else written[::SAMPLE]), *oddities(EXAMPLES)]

    async with side_by_side(tmp_path) as both:
        compared = await both.compare_all(sent)

    found = [(each, explanation_of(each)) for each in compared if not each.alike]
    unexplained = [each for each, explained in found if explained is None]
    record_figure("requests", len(compared))
    record_figure("differences", len(unexplained))
    record_figure("explained", len(found) - len(unexplained))
    assert not unexplained, "\n".join(map(str, unexplained[:SHOWN]))
    assert sum(each.calls == differences.BOTH for each in compared) > len(compared) / 3
    if IN_FULL:
        assert {explained.name for _, explained in found if explained} == {each.name for each in EXPLAINED}


class _Decoding(Gateway):
    """Decodes what http.proto has left unchanged."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__({**scope, "raw_path": scope["raw_path"].replace(b"%2F", b"/")}, receive, send)


async def test_a_gateway_that_decodes_slashes_is_caught(tmp_path: Path):
    asked = [HttpRequest(verb="GET", target=f"/v1/files/a{escape}b/c") for escape in ("%2F", "%20")]

    async with side_by_side(tmp_path, gateway=_Decoding) as both:
        slash, space = await both.compare_all(asked)

    assert not slash.alike
    assert explanation_of(slash) is None
    assert space.alike


def test_the_documentation_has_the_same_explanations():
    documented = re.findall(r"^### (\S+)\n\n> (.+)\n>\n> — (.+)\n\n\S", PAGE.read_text(), re.MULTILINE)

    assert documented == [(each.name, each.sentence, each.source) for each in EXPLAINED]


@pytest.mark.parametrize(
    "explained", [each for each in EXPLAINED if each.source.startswith("google/")], ids=lambda each: each.name
)
def test_the_sentences_are_in_the_files_that_they_are_of(explained: Explained):
    root = Path(http_pb2.__file__).parents[2]
    if explained.source != HTTP_PROTO:
        root = Path(grpc_tools.__file__).parent / "_proto"

    text = (root / explained.source).read_text()

    assert _words(explained.sentence) in _words(text)


def _words(text: str) -> str:
    return " ".join(re.sub(r"^\s*//", "", text, flags=re.MULTILINE).split())
