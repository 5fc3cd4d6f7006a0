from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aura.kernel.cli import command_line
from aura.kernel.module import ModuleSpec
from aura.modules import AURA_MODULES
from tests.support.cluster import Cluster
from tests.support.server_process import write_secret_key

ROOT = Path(__file__).parents[2]
Aura = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def aura(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aura:
    """Runs the command on an empty database of its own."""
    name = f"cli_{tmp_path.name.lower().replace('-', '_')}"[:60]
    cluster.run(f'CREATE DATABASE "{name}"')
    monkeypatch.setenv("AURA_ENVIRONMENT", "test")
    monkeypatch.setenv("AURA_DATABASE_URL", cluster.plain_url(name))
    monkeypatch.setenv("AURA_SECRET_KEY_FILE", str(write_secret_key(tmp_path / "key")))
    command = [sys.executable, "-m", "aura"]
    return lambda *arguments: subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_lists_the_modules(aura: Aura):
    result = aura("modules")

    assert result.returncode == 0
    for name, spec in AURA_MODULES.items():
        assert name in result.stdout
        assert spec.architecture in result.stdout


def test_plans_without_doing(aura: Aura):
    first, second = aura("migrate", "--plan"), aura("migrate", "--plan")

    assert first.returncode == 0
    assert "users up to 0001" in first.stdout
    assert first.stdout == second.stdout


def test_migrates_step_by_step_and_then_has_nothing_to_do(aura: Aura):
    planned = aura("migrate", "--plan").stdout

    done, again = aura("migrate"), aura("migrate")

    assert done.stdout == planned
    assert again.stdout == "nothing to do\n"


def test_takes_one_module_down_and_up_again(aura: Aura):
    aura("migrate")

    down = aura("migrate", "--module", "users", "--to", "0001")
    plan = aura("migrate", "--plan")
    up = aura("migrate", "--module", "users")

    assert "users down from 0002" in down.stdout
    assert "mentalhealth" not in down.stdout
    assert "users up to 0002" in plan.stdout
    assert "users up to 0002" in up.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--to", "nope"], "has no revision nope; see: aura migrate --plan"), (["--module", "nope"], "no module nope")],
)
def test_names_what_it_does_not_know(aura: Aura, arguments: list[str], said: str):
    result = aura("migrate", *arguments)

    assert result.returncode != 0
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_check_says_what_is_wrong_and_how_to_mend_it(aura: Aura, monkeypatch: pytest.MonkeyPatch):
    before = aura("check")
    aura("migrate")
    after = aura("check")
    monkeypatch.setenv("AURA_PROT", "1")
    unknown = aura("check")

    assert (before.returncode, after.returncode, unknown.returncode) == (1, 0, 1)
    assert "run: aura migrate" in before.stdout
    assert "wrong" not in after.stdout
    assert "AURA_PROT is not a setting; did you mean AURA_PORT?" in unknown.stdout


def test_check_finds_a_module_that_is_wrong(aura: Aura):
    spec = AURA_MODULES["users"]
    broken = {
        "users": ModuleSpec(**{**vars(spec), "dependencies": ("nobody",), "provides": ("UserService", "Astrology")})
    }

    result = CliRunner().invoke(command_line(broken), ["check"])

    assert result.exit_code == 1
    assert "depends on nobody, which is no module" in result.stdout
    assert "provides Astrology but registers no servicer" in result.stdout


TOPOLOGY = """
[processes.core]
modules = ["users"]
address = "127.0.0.1:1"

[processes.care]
modules = ["mentalhealth"]
address = "127.0.0.1:2"
"""


@pytest.fixture
def topology(tmp_path: Path) -> str:
    path = tmp_path / "topology.toml"
    path.write_text(TOPOLOGY)
    return str(path)


def test_shows_where_modules_are_hosted_and_that_they_do_not_answer(aura: Aura, topology: str):
    result = aura("modules", "--topology", topology)

    assert result.returncode == 0
    assert "core" in result.stdout
    assert "127.0.0.1:2" in result.stdout
    assert result.stdout.count("not serving") == 2


def test_draws_the_modules_by_process(aura: Aura, topology: str):
    result = aura("modules", "graph", "--topology", topology)

    assert result.stdout.splitlines() == [
        "flowchart LR",
        '  subgraph process_core["core (127.0.0.1:1)"]',
        "    users",
        "  end",
        '  subgraph process_care["care (127.0.0.1:2)"]',
        "    mentalhealth",
        "  end",
        "  mentalhealth --> users",
        "  users -. user.deactivated .-> mentalhealth",
        "  users -. user.reactivated .-> mentalhealth",
    ]


def test_looks_at_a_topology(aura: Aura, topology: str):
    good = aura("topology", "check", topology)
    Path(topology).write_text(TOPOLOGY.replace('"users"', '"user"'))
    bad = aura("topology", "check", topology)

    assert good.stdout.splitlines() == ["core at 127.0.0.1:1: users", "care at 127.0.0.1:2: mentalhealth"]
    assert bad.returncode == 1
    assert bad.stderr.splitlines() == [
        f"aura: {topology}: process core hosts user, which is no module; did you mean users?",
        f"aura: {topology}: module users is hosted nowhere; add it to the modules of a process",
    ]


def test_checks_the_topology_that_the_settings_name(aura: Aura, topology: str, monkeypatch: pytest.MonkeyPatch):
    aura("migrate")
    monkeypatch.setenv("AURA_TOPOLOGY_FILE", topology)
    assert "ok    topology" in aura("check").stdout

    Path(topology).write_text(TOPOLOGY.replace("127.0.0.1:2", "127.0.0.1:1"))
    broken = aura("check")

    assert broken.returncode == 1
    assert "share the address 127.0.0.1:1" in broken.stdout
