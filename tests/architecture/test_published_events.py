"""Every event that a module says it publishes is made somewhere in its code."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from aura.kernel.events.types import event_types_of
from aura.kernel.module import package_of
from aura.modules import AURA_MODULES


def never_made(types: dict[str, str], sources: Iterable[str]) -> list[str]:
    """Returns the types whose message class is constructed in none of the sources."""
    made = {name for source in sources for name in _called(ast.parse(source))}
    return [kind for kind, message in types.items() if message not in made]


def _called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield function.id
            elif isinstance(function, ast.Attribute):
                yield function.attr


def sources_of(name: str) -> list[str]:
    package = importlib.import_module(package_of(AURA_MODULES[name]))
    assert package.__file__
    return [path.read_text() for path in Path(package.__file__).parent.rglob("*.py")]


@pytest.mark.parametrize("name", AURA_MODULES)
def test_a_module_publishes_what_it_says(name: str):
    declared = event_types_of(name)
    types = {kind: declared[kind].message_class.DESCRIPTOR.name for kind in AURA_MODULES[name].publishes}

    assert never_made(types, sources_of(name)) == []


def test_an_event_that_nobody_makes_is_found():
    source = "from x import Seen, Made\nwork.publish(Made(a=1))\nwork.publish(pb.Other())\n"

    assert never_made({"a.made": "Made", "a.other": "Other", "a.seen": "Seen"}, [source]) == ["a.seen"]
