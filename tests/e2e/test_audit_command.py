"""What the command line shows of an audit trail, on the machine of a server that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from generated.aura.options.v1.access_pb2 import ROLE_PATIENT
from generated.aura.users.v1.user_pb2 import User
from generated.aura.users.v1.user_service_pb2 import CreateUserRequest
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.e2e.test_accounts import aura
from tests.support.root import blocking_root_channel
from tests.support.server_process import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server.start()


def test_shows_the_newest_entries_and_that_they_were_read(server: ServerProcess):
    with blocking_root_channel(server.address, keys=server.keys) as channel:
        ada, ben = (
            UserServiceStub(channel).CreateUser(
                CreateUserRequest(user=User(email=f"{name}@example.com", display_name=name, roles=[ROLE_PATIENT]))
            )
            for name in ("ada", "ben")
        )

    shown = aura(server, "audit", "users", "--action", "user.*", "--limit", "1")
    about_ada = aura(server, "audit", "users", "--subject", ada.user_id, "--from", "2026-01-01")
    readings = aura(server, "audit", "users", "--action", "audit.read", "--to", "9999-01-01")

    (line,) = shown.stdout.splitlines()
    _, action, subject, *rest = line.split(" ", 6)
    assert (action, subject) == ("user.created", ben.user_id), shown.stderr
    assert "actor=local" in rest
    assert json.loads(line[line.index("{") :]) == {"roles": "ROLE_PATIENT"}
    assert f" user.created {ada.user_id} " in about_ada.stdout
    assert len(about_ada.stdout.splitlines()) == 1
    assert [line.split(" ")[2] for line in readings.stdout.splitlines()] == [ada.user_id, "-"]
    assert readings.stdout.count("actor=local via=kernel") == 2


def test_says_what_is_wrong_in_one_line(server: ServerProcess):
    refused = aura(server, "audit", "users", "--subject", "Ada Lovelace")
    unknown = aura(server, "audit", "billing")
    server.stop()
    away = aura(server, "audit", "users")

    assert refused.returncode == away.returncode == 1
    assert refused.stderr.startswith("aura: subject ")
    assert "no module billing; there are users, mentalhealth" in unknown.stderr
    assert len(away.stderr.splitlines()) == 1
    assert "start it first" in away.stderr
