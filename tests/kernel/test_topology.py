from __future__ import annotations

from pathlib import Path

import pytest

from aura.kernel.topology import Topology, TopologyError, read_topology

MODULES = ("users", "mentalhealth", "billing")
GOOD = """
[processes.core]
modules = ["users", "billing"]
address = "127.0.0.1:50051"

[processes.care]
modules = ["mentalhealth"]
address = "[::1]:50052"
"""

# Each case: what replaces what in the good file, and the one line that must come of it.
FAULTS = {
    "unknown module": ('"billing"', '"biling"', "process core hosts biling, which is no module; did you mean billing?"),
    "module twice": (
        '["mentalhealth"]',
        '["mentalhealth", "users"]',
        "module users is hosted twice, by core and by care; take it out of one of them",
    ),
    "module twice in one process": ('"billing"', '"users"', "module users is hosted twice, by core and by core"),
    "module nowhere": (
        '"mentalhealth"',
        "",
        "module mentalhealth is hosted nowhere; add it to the modules of a process",
    ),
    "address clash": (
        '"[::1]:50052"',
        '"localhost:50051"',
        "processes core and care share the address localhost:50051; give each its own",
    ),
    "no port": ("127.0.0.1:50051", "127.0.0.1", "processes.core.address: must be HOST:PORT, as 127.0.0.1:50051"),
    "port of letters": (":50051", ":http", "processes.core.address: must be HOST:PORT"),
    "port 0": (":50051", ":0", "processes.core.address: must be HOST:PORT"),
    "port too high": (":50051", ":65536", "processes.core.address: must be HOST:PORT"),
    "open to the network": ("127.0.0.1", "10.1.2.3", "process core would serve without encryption at 10.1.2.3:50051"),
    "open to the network by name": ("127.0.0.1", "core.example.com", "set AURA_ALLOW_PLAINTEXT=true"),
    "all addresses": (
        "127.0.0.1",
        "0.0.0.0",
        "processes.core.address: must be an address that the other processes reach",
    ),
    "name with capitals": ("processes.core", "processes.Core", "processes.Core: a process's name is of lower-case"),
    "no address": (
        'address = "[::1]:50052"',
        "",
        'processes.care.address is missing; say where it serves: address = "',
    ),
    "no modules": ('modules = ["mentalhealth"]', "", "processes.care.modules is missing; say what it hosts"),
    "unknown key": ("address", "adress", "processes.core.adress is not known here; remove it"),
    "wrong type": ('["mentalhealth"]', '"mentalhealth"', "processes.care.modules: Input should be a valid list"),
    "not TOML": ("[processes.core]", "[processes.core", "is not TOML: "),
    "certificate missing": (
        GOOD,
        f'{GOOD}\n[tls]\nauthority = "ca.pem"\ncertificate = "x.pem"\nkey = "x.key"',
        "tls.authority: there is no file",
    ),
}


def written(folder: Path, text: str) -> Path:
    path = folder / "topology.toml"
    path.write_text(text)
    return path


def test_says_who_hosts_what_and_where(tmp_path: Path):
    topology = read_topology(written(tmp_path, GOOD), MODULES)

    assert list(topology.processes) == ["core", "care"]
    assert topology.host_of("billing").name == "core"
    assert topology.process("care").address == "[::1]:50052"
    assert topology.process("care").modules == ("mentalhealth",)
    assert topology.tls is None


@pytest.mark.parametrize("case", FAULTS)
def test_explains_what_is_wrong(tmp_path: Path, case: str):
    old, new, message = FAULTS[case]
    assert old in GOOD

    with pytest.raises(TopologyError) as caught:
        read_topology(written(tmp_path, GOOD.replace(old, new, 1)), MODULES)

    assert any(message in line for line in str(caught.value).splitlines()), str(caught.value)
    assert str(tmp_path / "topology.toml") in str(caught.value)


def test_tells_of_all_faults_at_once(tmp_path: Path):
    text = GOOD.replace('"billing"', '"biling"').replace("[::1]:50052", "127.0.0.1:50051")

    with pytest.raises(TopologyError) as caught:
        read_topology(written(tmp_path, text), MODULES)

    assert len(str(caught.value).splitlines()) == 3


def test_an_empty_file_shows_how_to_begin(tmp_path: Path):
    with pytest.raises(TopologyError, match=r"processes is missing; describe at least one process: \[processes.NAME\]"):
        read_topology(written(tmp_path, ""), MODULES)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(TopologyError, match=f"cannot read the topology {tmp_path / 'none.toml'}: No such file"):
        read_topology(tmp_path / "none.toml", MODULES)


def test_files_for_encryption_are_beside_the_topology_and_named_after_processes(tmp_path: Path):
    for name in ("ca.pem", "core.pem", "core.key", "care.pem", "care.key"):
        (tmp_path / name).write_text("")
    tls = '\n[tls]\nauthority = "ca.pem"\ncertificate = "{process}.pem"\nkey = "{process}.key"\n'

    topology = read_topology(written(tmp_path, GOOD + tls), MODULES)

    assert topology.tls is not None
    assert topology.tls.of("care").certificate == tmp_path / "care.pem"
    assert topology.tls.of("care").authority == tmp_path / "ca.pem"
    assert topology.tls.mutual


def test_takes_addresses_that_others_reach_with_encryption_or_when_told_to(tmp_path: Path):
    text = GOOD.replace("127.0.0.1", "10.1.2.3").replace("[::1]", "care.example.com")
    tls = '\n[tls]\nauthority = "ca.pem"\ncertificate = "ca.pem"\nkey = "ca.pem"\n'
    (tmp_path / "ca.pem").write_text("")

    encrypted = read_topology(written(tmp_path, text + tls), MODULES)
    allowed = read_topology(written(tmp_path, text), MODULES, allow_plaintext=True)

    for topology in (encrypted, allowed):
        assert [each.address for each in topology.processes.values()] == ["10.1.2.3:50051", "care.example.com:50052"]


def test_without_a_file_everything_is_in_one_process():
    topology = Topology.single(MODULES, host="::1", port=0)

    assert topology.process(None).modules == MODULES
    assert topology.listening("aura", 50051).host_of("users").address == "[::1]:50051"


@pytest.mark.parametrize(("name", "message"), [("cafe", "has no process cafe; it has core, care"), (None, "--process")])
def test_a_process_must_be_one_of_the_topology(tmp_path: Path, name: str | None, message: str):
    topology = read_topology(written(tmp_path, GOOD), MODULES)

    with pytest.raises(TopologyError, match=message):
        topology.process(name)
