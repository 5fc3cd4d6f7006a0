"""The table of who may call what is the contracts', and a method without a rule is hosted by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from rich.console import Console

from aura.kernel.access_table import AccessRuleMissing, access_page, access_rows, access_table, require_access_rules
from aura.modules import AURA_MODULES

PAGE = Path(__file__).parents[2] / "docs" / "access.md"


def test_the_page_in_the_documentation_is_current():
    assert PAGE.read_text() == access_page(AURA_MODULES), "run: aura access --markdown > docs/access.md"


def test_it_says_what_the_contracts_say():
    rows = {row.method.rpartition(".")[2]: (row.outside, row.modules) for row in access_rows(AURA_MODULES)}

    assert rows["UserService/GetUser"] == ("support, admin, service, the user in `user_id`", "mentalhealth")
    assert rows["AuthenticationService/Login"] == ("everyone", "none")
    assert rows["AuthenticationService/Logout"] == ("everyone who is logged in", "none")
    assert rows["AccessService/GetAccess"] == ("nobody", "kernel")
    assert rows["SubscriberService/Deliver"] == ("nobody", "those that publish events")
    assert len(rows) >= 50


def test_it_is_shown_by_service():
    console = Console(width=120, record=True)
    console.print(access_table(AURA_MODULES))
    shown = console.export_text()

    assert " aura.users.v1.AccessService" in shown
    assert "   GetAccess " in shown


def test_a_method_without_a_rule_is_refused():
    file = descriptor_pb2.FileDescriptorProto(name="aura/open/v1/open.proto", package="aura.open.v1", syntax="proto3")
    file.message_type.add(name="Nothing")
    file.service.add(name="OpenService").method.add(
        name="Enter", input_type=".aura.open.v1.Nothing", output_type=".aura.open.v1.Nothing"
    )
    descriptor_pool.Default().Add(file)

    with pytest.raises(AccessRuleMissing, match=r"aura\.open\.v1\.OpenService/Enter does not say who may call it"):
        require_access_rules(["aura.users.v1.UserService", "aura.open.v1.OpenService"])
