"""The documentation says what is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aura.kernel.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_every_setting_is_documented_with_its_default():
    rows = dict(re.findall(r"^\| `(AURA_\w+)` \| ([^|]+) \|", (ROOT / "docs/operating.md").read_text(), re.MULTILINE))

    fields = {f"{PREFIX}{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert set(rows) == set(fields)
    given = {name: str(field.default) for name, field in fields.items() if field.default is not None}
    assert {name: rows[name].strip("`") for name in given} == given


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_the_readme_names_the_commands_that_make_has():
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))

    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named
    assert named <= targets
