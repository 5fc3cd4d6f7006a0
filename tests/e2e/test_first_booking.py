"""A first booking, from an empty directory to the end of the session, by two clients that know no contract."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.support.server_process import ServerProcess

USERS = "aura.users.v1.UserService"
AUTHENTICATION = "aura.users.v1.AuthenticationService"
ACCESS = "aura.users.v1.AccessService"
SESSIONS = "aura.mentalhealth.v1.TherapySessionService"
EMERGENCIES = "aura.mentalhealth.v1.EmergencyAccessService"
DISORDERS = "aura.mentalhealth.v1.DisorderService"
MODULES = "aura.modules.v1.ModuleService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
METHODS = {
    "aura.audit.v1.AuditService": ["ListAuditEntries"],
    "aura.events.v1.EventAdminService": [
        "DiscardDeadLetters",
        "GetEvent",
        "GetEventLag",
        "ListDeadLetters",
        "ReplayDeadLetters",
        "TailEvents",
    ],
    USERS: [
        "BatchGetUsers",
        "CreateUser",
        "DeactivateUser",
        "GetUser",
        "GrantRole",
        "ListUsers",
        "ReactivateUser",
        "RevokeRole",
        "UpdateUser",
    ],
    AUTHENTICATION: [
        "ChangePassword",
        "ConfirmEmailChange",
        "ConfirmTotp",
        "CreateAccount",
        "CreateServiceClient",
        "DisableTotp",
        "EnrollTotp",
        "GetJwks",
        "IssueServiceToken",
        "ListLoginSessions",
        "Login",
        "Logout",
        "RefreshToken",
        "Register",
        "RequestEmailChange",
        "RequestPasswordReset",
        "ResetPassword",
        "RevokeLoginSession",
        "RevokeServiceClient",
        "RotateSigningKey",
        "VerifyEmail",
    ],
    ACCESS: ["GetAccess", "ListVerificationKeys"],
    SESSIONS: [
        "CancelTherapySession",
        "EndTherapySession",
        "GetAvailability",
        "GetStatistics",
        "GetTherapySession",
        "ListTherapySessions",
        "MarkNoShow",
        "RescheduleTherapySession",
        "ScheduleTherapySession",
        "StartTherapySession",
    ],
    EMERGENCIES: ["BeginEmergencyAccess", "EndEmergencyAccess", "ListEmergencyAccesses"],
    DISORDERS: ["GetDisorder", "ListDisorders", "SearchDisorders"],
    MODULES: ["GetModule", "GetTopology", "ListModules"],
    HEALTH: ["Check", "List", "Watch"],
    REFLECTION[0]: ["ServerReflectionInfo"],
    REFLECTION[1]: ["ServerReflectionInfo"],
}


class Refused(Exception):
    """What `buf curl` printed of a call that failed."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body["message"])
        self.code = body["code"]
        self.details = {detail["type"]: _unpadded(detail["value"]) for detail in body["details"]}


class Buf:
    """Calls a server by `buf curl`, which learns the contracts by reflection."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.token = ""

    def log_in(self, **credentials: str) -> str:
        """Makes all later calls as somebody; returns their id."""
        tokens = self.call(f"{AUTHENTICATION}/Login", **credentials)
        self.token = tokens["accessToken"]
        return tokens["userId"]

    def list(self, what: str) -> list[str]:
        return self._run(f"--list-{what}", f"http://{self.address}").stdout.split()

    def call(self, method: str, **request: Any) -> dict[str, Any]:
        done = self._run("-d", json.dumps(request), f"http://{self.address}/{method}")
        if done.returncode:
            raise Refused(json.loads(done.stderr))
        return json.loads(done.stdout)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        buf = Path(sys.executable).parent / "buf"
        token = ["-H", f"authorization: Bearer {self.token}"] if self.token else []
        command = [buf, "curl", "--http2-prior-knowledge", "--protocol", "grpc", *token, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def _unpadded(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("first_booking")) as server:
        assert not server.data_dir.exists()
        yield server.start()


@pytest.fixture(scope="module")
def buf(server: ServerProcess) -> Buf:
    made = Buf(server.address)
    password = re.search(r"password:\s+(\S+)", server.logs())
    assert password
    admin = {"email": "admin@example.com", "password": password[1]}
    user_id = made.log_in(**admin)
    made.call(f"{USERS}/GrantRole", userId=user_id, role="ROLE_OPERATOR", reason="runs this")
    made.log_in(**admin)
    return made


@pytest.fixture(scope="module")
def therapist(buf: Buf) -> dict[str, Any]:
    user = {"email": "t@example.com", "displayName": "Theo", "roles": ["ROLE_THERAPIST"], "timeZone": "Europe/Berlin"}
    return buf.call(f"{USERS}/CreateUser", user=user)


@pytest.fixture(scope="module")
def patient(buf: Buf) -> dict[str, Any]:
    user = {"email": "p@example.com", "displayName": "Pia", "roles": ["ROLE_PATIENT"]}
    return buf.call(f"{USERS}/CreateUser", user=user)


def times(*, starts_in: timedelta = timedelta(0), minutes: int = 50) -> dict[str, str]:
    start = datetime.now(UTC) + starts_in
    return {"startTime": start.isoformat(), "endTime": (start + timedelta(minutes=minutes)).isoformat()}


def test_serves_on_a_free_loopback_port_and_says_so(server: ServerProcess):
    host, _, port = server.address.rpartition(":")

    assert host == "127.0.0.1"
    assert int(port) not in {0, 50051}
    assert "embedded PostgreSQL" in server.logs()


def test_lists_exactly_the_services_it_serves(buf: Buf):
    assert buf.list("services") == sorted(METHODS)


def test_lists_exactly_the_methods_it_serves(buf: Buf):
    assert buf.list("methods") == sorted(f"{service}/{name}" for service, names in METHODS.items() for name in names)


def test_books_holds_and_ends_a_session(buf: Buf, therapist: dict[str, Any], patient: dict[str, Any]):
    people = {"therapistId": therapist["userId"], "patientId": patient["userId"]}
    admin = buf.call(f"{USERS}/ListUsers", emailPrefix="admin@")["users"][0]["userId"]

    booked = buf.call(f"{SESSIONS}/ScheduleTherapySession", **people, **times())
    session_id = booked["sessionId"]
    started = buf.call(f"{SESSIONS}/StartTherapySession", sessionId=session_id)
    ended = buf.call(f"{SESSIONS}/EndTherapySession", sessionId=session_id, reason="all is well")
    read = buf.call(f"{SESSIONS}/GetTherapySession", sessionId=session_id)

    assert booked["timeZone"] == "Europe/Berlin"
    assert [answer["state"].removeprefix("THERAPY_SESSION_STATE_") for answer in (booked, started, ended)] == [
        "SCHEDULED",
        "IN_PROGRESS",
        "COMPLETED",
    ]
    assert [(change["actor"], change.get("reason")) for change in read["transitions"]] == [
        (admin, None),
        (admin, None),
        (admin, "all is well"),
    ]
    assert read == ended


def test_refuses_a_session_that_overlaps_and_takes_the_one_that_follows(buf: Buf, therapist: dict[str, Any]):
    user = {"email": "second@example.com", "displayName": "Second", "roles": ["ROLE_PATIENT"]}
    second = buf.call(f"{USERS}/CreateUser", user=user)
    people = {"therapistId": therapist["userId"], "patientId": second["userId"]}
    first = buf.call(f"{SESSIONS}/ScheduleTherapySession", **people, **times(starts_in=timedelta(days=1)))

    with pytest.raises(Refused) as refused:
        buf.call(f"{SESSIONS}/ScheduleTherapySession", **people, **times(starts_in=timedelta(days=1, minutes=30)))
    end = datetime.fromisoformat(first["endTime"])
    follows = {"startTime": end.isoformat(), "endTime": (end + timedelta(minutes=50)).isoformat()}

    assert refused.value.code == "failed_precondition"
    info = error_details_pb2.ErrorInfo.FromString(refused.value.details["google.rpc.ErrorInfo"])
    assert (info.reason, info.domain) == ("SESSION_OVERLAPS", "aura")
    precondition = error_details_pb2.PreconditionFailure.FromString(
        refused.value.details["google.rpc.PreconditionFailure"]
    )
    assert precondition.violations[0].type == "SESSION_OVERLAPS"
    assert error_details_pb2.RequestInfo.FromString(refused.value.details["google.rpc.RequestInfo"]).request_id
    assert buf.call(f"{SESSIONS}/ScheduleTherapySession", **people, **follows)["startTime"] == first["endTime"]


def test_reads_the_catalogue(buf: Buf):
    disorder = buf.call(f"{DISORDERS}/GetDisorder", code="F33.1")

    assert disorder["title"] == "Major depressive disorder, recurrent, moderate"
    assert disorder["billable"] is True


@pytest.mark.parametrize("service", ["", USERS, SESSIONS, DISORDERS, MODULES])
def test_is_healthy_as_a_whole_and_in_every_service(buf: Buf, service: str):
    assert buf.call(f"{HEALTH}/Check", service=service) == {"status": "SERVING"}


def test_knows_no_health_of_what_it_does_not_serve(buf: Buf):
    with grpc.insecure_channel(buf.address) as channel:
        check = channel.unary_unary(f"/{HEALTH}/Check")
        with pytest.raises(grpc.RpcError) as refused:
            check(b"\x0a\x04nope", timeout=5)

    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_shows_its_modules(buf: Buf):
    modules = buf.call(f"{MODULES}/ListModules")["modules"]

    assert [(module["moduleId"], module["services"], module.get("dependencies", [])) for module in modules] == [
        ("mentalhealth", [SESSIONS, DISORDERS, EMERGENCIES], ["users"]),
        ("users", [USERS, AUTHENTICATION, ACCESS], []),
    ]


def test_shows_where_its_modules_run(buf: Buf):
    topology = buf.call(f"{MODULES}/GetTopology")

    assert topology == {"processes": [{"name": "aura", "address": buf.address, "modules": ["mentalhealth", "users"]}]}


def test_pythons_reflection_client_finds_all_contracts(buf: Buf):
    with grpc.insecure_channel(buf.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)

        served = {name: pool.FindServiceByName(name) for name in database.get_services()}

    assert {name: sorted(service.methods_by_name) for name, service in served.items()} == METHODS
    create = served[USERS].methods_by_name["CreateUser"]
    assert (create.input_type.full_name, create.output_type.full_name) == (
        "aura.users.v1.CreateUserRequest",
        "aura.users.v1.User",
    )


@pytest.mark.parametrize(
    "symbol", [f"{USERS}.CreateUser", f"{SESSIONS}.StartTherapySession", USERS, "aura.users.v1.User"]
)
def test_reflection_knows_symbols_of_every_kind(buf: Buf, symbol: str):
    found = reflect(buf.address, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))

    assert found.file_descriptor_response.file_descriptor_proto


@pytest.mark.parametrize("symbol", ["", "nope", f"{USERS}.Nope", "aura.users.v1.Nope", "aura.analytics.v1.Anything"])
def test_reflection_finds_no_other_symbols(buf: Buf, symbol: str):
    found = reflect(buf.address, reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))

    assert found.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def reflect(address: str, request: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse:
    with grpc.insecure_channel(address) as channel:
        (answer,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]), timeout=10)
    return answer
