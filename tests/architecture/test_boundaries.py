from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from aura.kernel.tooling.boundaries import contracts, lint
from aura.modules import AURA_MODULES

ROOT = Path(__file__).parents[2]

VIOLATIONS = {
    "modules never import one another": ("aura/mentalhealth/module.py", "import aura.users.errors"),
    "the kernel knows no module": ("aura/kernel/clock.py", "import aura.users.errors"),
    "modules leave alone what tells who is calling": (
        "aura/users/services/users.py",
        "import aura.kernel.security.internal_identity",
    ),
    "aura.kernel.inprocess depends on nothing else in Aura": (
        "aura/kernel/inprocess/pipe.py",
        "import aura.kernel.ids",
    ),
    "aura.kernel.embedded_postgres depends on nothing else in Aura": (
        "aura/kernel/embedded_postgres/locks.py",
        "import aura.kernel.ids",
    ),
    "aura.kernel.gateway depends on nothing else in Aura": ("aura/kernel/gateway/router.py", "import aura.kernel.ids"),
    "aura.kernel.errors depends on nothing else in Aura": ("aura/kernel/errors.py", "import aura.kernel.ids"),
    "users keeps its layers (layered)": ("aura/users/models/user.py", "import aura.users.services"),
    "users does not call mentalhealth, which it does not declare": (
        "aura/users/services/users.py",
        "import generated.aura.mentalhealth.v1.disorder_pb2",
    ),
    "mentalhealth keeps its layers (clean)": (
        "aura/mentalhealth/application/use_cases/get_disorder.py",
        "import aura.mentalhealth.infrastructure.tables",
    ),
    "aura.mentalhealth.domain is pure": ("aura/mentalhealth/domain/entities/period.py", "import sqlalchemy"),
    "mentalhealth calls users from its external adapters only": (
        "aura/mentalhealth/api/presenters.py",
        "import generated.aura.users.v1.user_pb2",
    ),
    "users does not handle events of mentalhealth, to which it does not subscribe": (
        "aura/users/services/users.py",
        "import generated.aura.mentalhealth.v1.events_pb2",
    ),
    "mentalhealth handles events of users in its subscribers only": (
        "aura/mentalhealth/api/servicers.py",
        "import generated.aura.users.v1.events_pb2",
    ),
    "mentalhealth uses its dependency users": ("aura/mentalhealth/infrastructure/external/user_directory.py", None),
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in ("aura", "generated"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_tree_keeps_every_contract():
    assert lint(AURA_MODULES, ROOT) == ""


def test_every_contract_has_a_planted_violation():
    assert {contract["name"] for contract in contracts(AURA_MODULES)} == set(VIOLATIONS)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_catches_a_planted_violation(tree: Path, name: str):
    path, statement = VIOLATIONS[name]
    file = tree / path
    file.write_text(f"{file.read_text()}\n{statement}\n" if statement else "")

    assert f"{name} BROKEN" in lint(AURA_MODULES, tree)


def test_catches_a_call_whose_dependency_is_no_longer_declared():
    specs = {**AURA_MODULES, "mentalhealth": replace(AURA_MODULES["mentalhealth"], dependencies=())}

    assert "mentalhealth does not call users, which it does not declare BROKEN" in lint(specs, ROOT)


def test_catches_a_file_outside_the_layers(tree: Path):
    (tree / "aura/users/helpers.py").write_text("")

    assert "users keeps its layers (layered) BROKEN" in lint(AURA_MODULES, tree)
