from __future__ import annotations

import uuid

import grpc
import pytest
from dishka.exceptions import NoFactoryError

from aura.kernel.security.keys import KeyRing
from aura.kernel.settings import Settings
from aura.kernel.topology import Topology
from generated.aura.modules.v1 import module_service_pb2 as modules
from generated.aura.options.v1.access_pb2 import ROLE_PATIENT, ROLE_THERAPIST
from tests.support.failures import failure_of
from tests.support.platform import Platform


@pytest.mark.parametrize("participant", ["therapist", "patient"])
async def test_a_booking_needs_both_people(platform: Platform, participant: str):
    request = await platform.booking()
    setattr(request, f"{participant}_id", str(uuid.uuid4()))

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.reason == "PARTICIPANT_NOT_FOUND"
    assert failure.error.metadata == {"participant": participant}


@pytest.mark.parametrize("participant", ["therapist", "patient"])
async def test_a_booking_needs_people_of_the_right_roles(platform: Platform, participant: str):
    request = await platform.booking()
    wrong = await (platform.create_patient() if participant == "therapist" else platform.create_therapist())
    setattr(request, f"{participant}_id", wrong.user_id)

    failure = await failure_of(platform.sessions.ScheduleTherapySession(request))

    assert failure.code is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.reason == "PARTICIPANT_ROLE_MISSING"
    assert failure.error.metadata == {"participant": participant, "required_role": f"ROLE_{participant.upper()}"}


async def test_who_holds_both_roles_may_be_either(platform: Platform):
    both = await platform.create_user(ROLE_PATIENT, ROLE_THERAPIST)
    request = await platform.booking()
    request.patient_id = both.user_id

    session = await platform.sessions.ScheduleTherapySession(request)

    assert session.patient_id == both.user_id


async def test_a_session_is_agreed_in_the_therapists_zone_by_default(platform: Platform):
    request = await platform.booking()
    request.therapist_id = (await platform.create_therapist(time_zone="Asia/Kathmandu")).user_id

    session = await platform.sessions.ScheduleTherapySession(request)

    assert session.time_zone == "Asia/Kathmandu"


async def test_the_registry_is_seen_from_outside(platform: Platform):
    listed = await platform.modules.ListModules(modules.ListModulesRequest())

    found = {module.module_id: module for module in listed.modules}
    assert set(found) == {"users", "mentalhealth"}
    assert found["mentalhealth"].dependencies == ["users"]
    assert found["mentalhealth"].architecture == modules.ARCHITECTURE_CLEAN
    assert "aura.users.v1.UserService" in found["users"].services
    got = await platform.modules.GetModule(modules.GetModuleRequest(module_id="users"))
    assert got == found["users"]
    topology = await platform.modules.GetTopology(modules.GetTopologyRequest())
    assert [list(process.modules) for process in topology.processes] == [["mentalhealth", "users"]]


async def test_an_unknown_module_is_not_found(platform: Platform):
    failure = await failure_of(platform.modules.GetModule(modules.GetModuleRequest(module_id="nope")))

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.reason == "MODULE_NOT_FOUND"


@pytest.mark.parametrize("module", ["users", "mentalhealth"])
@pytest.mark.parametrize("kind", [Settings, KeyRing, Topology])
async def test_a_module_cannot_get_at_what_is_the_platforms(platform: Platform, module: str, kind: type):
    with pytest.raises(NoFactoryError):
        platform.host._modules[module].container.get(kind)
