"""The contracts keep their rules, `generated/` is what they give, and each check sees what it is there for."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.api import annotations_pb2
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from aura.kernel.security.actor import KERNEL
from aura.kernel.tooling import protos
from aura.modules import AURA_MODULES
from generated.aura.options.v1 import access_pb2, event_pb2, sensitivity_pb2
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceServicer
from generated.buf.validate import validate_pb2

USERS, SESSIONS = "aura/users/v1/user_service.proto", "aura/mentalhealth/v1/therapy_session_service.proto"
EVENTS = "aura/users/v1/events.proto"
EVENT_TYPE = re.compile(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*")
USER, SESSION = "aura/users/v1/user.proto", "aura/mentalhealth/v1/therapy_session.proto"
PII, PHI = sensitivity_pb2.SENSITIVITY_PII, sensitivity_pb2.SENSITIVITY_PHI
SECRET = sensitivity_pb2.SENSITIVITY_SECRET
HTTP_VERBS = {"get", "put", "post", "delete", "patch"}
SENSITIVE = {
    "aura.users.v1.User.email": PII,
    "aura.users.v1.User.display_name": PII,
    "aura.users.v1.User.phone_number": PII,
    "aura.users.v1.ListUsersRequest.display_name_prefix": PII,
    "aura.users.v1.ListUsersRequest.email_prefix": PII,
    "aura.users.v1.DeactivateUserRequest.reason": PII,
    "aura.users.v1.ReactivateUserRequest.reason": PII,
    "aura.users.v1.GrantRoleRequest.reason": PII,
    "aura.users.v1.RevokeRoleRequest.reason": PII,
    "aura.users.v1.RegisterRequest.email": PII,
    "aura.users.v1.RegisterRequest.password": SECRET,
    "aura.users.v1.RegisterRequest.display_name": PII,
    "aura.users.v1.VerifyEmailRequest.email": PII,
    "aura.users.v1.VerifyEmailRequest.code": SECRET,
    "aura.users.v1.VerifyEmailRequest.password": SECRET,
    "aura.users.v1.RequestEmailChangeRequest.password": SECRET,
    "aura.users.v1.RequestEmailChangeRequest.new_email": PII,
    "aura.users.v1.ConfirmEmailChangeRequest.code": SECRET,
    "aura.users.v1.LoginRequest.email": PII,
    "aura.users.v1.LoginRequest.password": SECRET,
    "aura.users.v1.LoginRequest.code": SECRET,
    "aura.users.v1.TokenPair.access_token": SECRET,
    "aura.users.v1.TokenPair.refresh_token": SECRET,
    "aura.users.v1.RefreshTokenRequest.refresh_token": SECRET,
    "aura.users.v1.ChangePasswordRequest.current_password": SECRET,
    "aura.users.v1.ChangePasswordRequest.new_password": SECRET,
    "aura.users.v1.RequestPasswordResetRequest.email": PII,
    "aura.users.v1.ResetPasswordRequest.email": PII,
    "aura.users.v1.ResetPasswordRequest.code": SECRET,
    "aura.users.v1.ResetPasswordRequest.new_password": SECRET,
    "aura.users.v1.EnrollTotpRequest.password": SECRET,
    "aura.users.v1.EnrollTotpResponse.secret": SECRET,
    "aura.users.v1.EnrollTotpResponse.uri": SECRET,
    "aura.users.v1.ConfirmTotpRequest.code": SECRET,
    "aura.users.v1.ConfirmTotpResponse.recovery_codes": SECRET,
    "aura.users.v1.DisableTotpRequest.password": SECRET,
    "aura.users.v1.DisableTotpRequest.code": SECRET,
    "aura.users.v1.CreateServiceClientResponse.client_secret": SECRET,
    "aura.users.v1.IssueServiceTokenRequest.client_secret": SECRET,
    "aura.users.v1.IssueServiceTokenResponse.access_token": SECRET,
    "aura.users.v1.CreateAccountRequest.email": PII,
    "aura.users.v1.CreateAccountRequest.display_name": PII,
    "aura.users.v1.CreateAccountRequest.password": SECRET,
    "aura.users.v1.CreateAccountResponse.password": SECRET,
    "aura.users.v1.LoginSession.source": PII,
    "aura.users.v1.LoginSession.user_agent": PII,
    "aura.audit.v1.ListAuditEntriesRequest.subject": PHI,
    "aura.audit.v1.AuditEntry.subject": PHI,
    "aura.audit.v1.AuditEntry.source": PII,
    "aura.audit.v1.AuditEntry.details": PHI,
    "aura.mentalhealth.v1.TherapySession.patient_id": PHI,
    "aura.mentalhealth.v1.TherapySessionTransition.reason": PHI,
    "aura.mentalhealth.v1.ScheduleTherapySessionRequest.patient_id": PHI,
    "aura.mentalhealth.v1.StartTherapySessionRequest.reason": PHI,
    "aura.mentalhealth.v1.EndTherapySessionRequest.reason": PHI,
    "aura.mentalhealth.v1.CancelTherapySessionRequest.reason": PHI,
    "aura.mentalhealth.v1.RescheduleTherapySessionRequest.reason": PHI,
    "aura.mentalhealth.v1.MarkNoShowRequest.reason": PHI,
    "aura.mentalhealth.v1.ListTherapySessionsRequest.patient_id": PHI,
    "aura.mentalhealth.v1.EmergencyAccess.patient_id": PHI,
    "aura.mentalhealth.v1.EmergencyAccess.reason": PHI,
    "aura.mentalhealth.v1.BeginEmergencyAccessRequest.patient_id": PHI,
    "aura.mentalhealth.v1.BeginEmergencyAccessRequest.reason": PHI,
    "aura.mentalhealth.v1.ListEmergencyAccessesRequest.patient_id": PHI,
}
"""Every field that is sensitive, as reviewed; whoever adds one, or takes one away, changes this list too."""

Plant = Callable[[str, str, str], None]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the contracts, to spoil."""
    return Path(shutil.copytree(protos.PROTOS, tmp_path / "protos"))


@pytest.fixture
def plant(copied: Path) -> Plant:
    """Replaces text in a copied contract, which must hold it."""

    def replace(name: str, old: str, new: str) -> None:
        path = copied / name
        text = path.read_text()
        assert old in text, f"{name} has changed; plant another fault"
        path.write_text(text.replace(old, new, 1))

    return replace


# ---- generated/


def test_generated_is_fresh():
    assert protos.stale_files() == []


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("fresh") / "generated"
    protos.generate(target)
    return target


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("aura/users/v1/user_pb2.py", lambda path: path.write_text(path.read_text() + "\n")),
        ("aura/users/v1/user_pb2.pyi", lambda path: path.write_text("")),
        ("aura/users/v1/user_service_pb2_grpc.py", lambda path: path.unlink()),
        ("aura/users/__init__.py", lambda path: path.unlink()),
        ("aura/users/v1/left_over_pb2.py", lambda path: path.touch()),
    ],
)
def test_a_stale_file_is_reported(fresh: Path, tmp_path: Path, name: str, spoil: Callable[[Path], object]):
    target = Path(shutil.copytree(fresh, tmp_path / "generated"))
    spoil(target / name)

    assert protos.stale_files(target) == [name]


def test_caches_are_no_stale_files(fresh: Path, tmp_path: Path):
    target = Path(shutil.copytree(fresh, tmp_path / "generated"))
    (target / "aura" / "__pycache__").mkdir()
    (target / "aura" / "__pycache__" / "x.pyc").touch()

    assert protos.stale_files(target) == []


# ---- lint


def test_lint_finds_nothing():
    assert protos.lint() == ""


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        (USERS, "// Asks for a user.\n", "", 'Message "GetUserRequest" should have a non-empty comment'),
        (USERS, "  // Identifies the user.\n", "", 'Field "user_id" should have a non-empty comment'),
        (USERS, "service UserService {", "service Users {", 'Service name "Users" should be suffixed with "Service"'),
        (USER, "string locale = 7", "string Locale = 7", 'Field name "Locale" should be lower_snake_case'),
        (USER, "USER_STATE_ACTIVE = 1", "ACTIVE = 1", 'should be prefixed with "USER_STATE_"'),
    ],
)
def test_lint_finds_what_is_wrong(copied: Path, plant: Plant, *, name: str, old: str, new: str, found: str):
    plant(name, old, new)

    assert found in protos.lint(copied)


# ---- breaking changes


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the present contracts as release 1.0.0."""
    folder = tmp_path_factory.mktemp("released")
    protos.build_image(folder / "1.0.0.binpb", source_info=False)
    return folder


def test_nothing_breaks_a_release_of_the_same_contracts(released: Path):
    assert protos.breaking(released=released) == ""


def test_an_addition_breaks_nothing(released: Path, copied: Path, plant: Plant):
    plant(USERS, "// Asks for a user.\n", "// Is new.\nmessage New {}\n\n// Asks for a user.\n")

    assert protos.breaking(copied, released) == ""


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        (USERS, "string user_id = 1", "string user_id = 2", 'field "1" with name "user_id"'),
        (USERS, "string request_id = 2", "int64 request_id = 2", 'changed type from "string" to "int64"'),
        (USER, "string email = 2", "string mail = 2", 'from "email" to "mail"'),
        (USER, "USER_STATE_ACTIVE = 1", "USER_STATE_ACTIVE = 7", 'enum value "1"'),
        (SESSION, "string etag = 14 [(google.api.field_behavior) = OUTPUT_ONLY];", "", 'field "14" with name "etag"'),
    ],
)
def test_a_break_is_found(released: Path, copied: Path, plant: Plant, *, name: str, old: str, new: str, found: str):
    plant(name, old, new)

    assert found in protos.breaking(copied, released)


def test_the_highest_version_is_compared_with(released: Path, copied: Path, plant: Plant, tmp_path: Path):
    releases = tmp_path / "releases"
    releases.mkdir()
    plant(USER, "string email = 2", "string mail = 2")
    protos.build_image(releases / "9.0.0.binpb", copied, source_info=False)
    shutil.copy(released / "1.0.0.binpb", releases / "10.0.0.binpb")

    assert protos.breaking(released=releases) == ""


def test_asks_for_a_release_where_there_is_none(tmp_path: Path):
    with pytest.raises(protos.ProtosError, match="make protos-release VERSION="):
        protos.breaking(released=tmp_path)


def test_a_contract_that_cannot_be_parsed_is_named(copied: Path, plant: Plant):
    plant(USER, "message User {", "message User")

    with pytest.raises(protos.ProtosError, match=r"aura/users/v1/user\.proto"):
        protos.lint(copied)


# ---- access, routes and sensitivity, as read from an image of the contracts


def image_of(folder: Path, target: Path) -> FileDescriptorSet:
    protos.build_image(target, folder, source_info=False)
    return FileDescriptorSet.FromString(target.read_bytes())


def own_files(image: FileDescriptorSet) -> Iterator[FileDescriptorProto]:
    return (file for file in image.file if file.package.startswith("aura."))


def methods_of(image: FileDescriptorSet) -> Iterator[tuple[str, str, MethodDescriptorProto]]:
    """Yields the module, the full name and the descriptor of every method."""
    for file in own_files(image):
        for service in file.service:
            for method in service.method:
                yield file.package.split(".")[1], f"{file.package}.{service.name}.{method.name}", method


def messages_of(image: FileDescriptorSet) -> dict[str, DescriptorProto]:
    return {f"{file.package}.{message.name}": message for file in own_files(image) for message in file.message_type}


def access_faults(image: FileDescriptorSet) -> list[str]:
    """Returns what is wrong with the access rules and routes of all methods."""
    messages, faults = messages_of(image), []
    for module, name, method in methods_of(image):
        options = method.options
        rule = options.Extensions[access_pb2.access]
        if not options.HasExtension(access_pb2.access) or not rule.external:
            faults.append(f"{name} does not say who may call it")
        routed = bool(HTTP_VERBS & {field.name for field, _ in options.Extensions[annotations_pb2.http].ListFields()})
        closed = rule.external == access_pb2.EXTERNAL_NONE
        if routed is closed:
            faults.append(f"{name} has a route, but admits nobody from outside" if routed else f"{name} has no route")
        if rule.roles and rule.external != access_pb2.EXTERNAL_RESTRICTED:
            faults.append(f"{name} names roles that its external rule does not use")
        if rule.external == access_pb2.EXTERNAL_RESTRICTED and not (rule.roles or rule.self_field):
            faults.append(f"{name} is restricted to nobody")
        if access_pb2.ROLE_UNSPECIFIED in rule.roles:
            faults.append(f"{name} admits an unspecified role")
        faults += [f"{name}: {fault}" for fault in self_field_faults(rule, messages[method.input_type[1:]], messages)]
        faults += [f"{name}: {fault}" for fault in caller_faults(rule, module)]
    return faults


def event_faults(image: FileDescriptorSet) -> list[str]:
    """Returns what is wrong with event messages: they hold ids, and no personal data."""
    messages, faults = messages_of(image), []
    for name, message in messages.items():
        options = message.options.Extensions[event_pb2.event]
        in_events_file = any(
            message in file.message_type for file in own_files(image) if file.name.endswith("/events.proto")
        )
        if bool(options.type) is not in_events_file:
            faults.append(f"{name} is an event outside of events.proto, or none inside of it")
        if not options.type:
            continue
        if not EVENT_TYPE.fullmatch(options.type):
            faults.append(f"{name}: the type {options.type} is not of the form user.registered")
        subjects = [field for field in message.field if field.name == options.subject_field]
        if [field.type for field in subjects] != [FieldDescriptorProto.TYPE_STRING]:
            faults.append(f"{name}: subject_field {options.subject_field} is no text field of it")
        faults += [f"{found} is sensitive, and in an event" for found in sensitive_below(name, messages)]
    return faults


def sensitive_below(name: str, messages: dict[str, DescriptorProto]) -> list[str]:
    """Returns the sensitive fields of a message and of those inside it."""
    found = []
    for field in messages[name].field:
        if field.options.Extensions[sensitivity_pb2.sensitivity]:
            found.append(f"{name}.{field.name}")
        if field.type == FieldDescriptorProto.TYPE_MESSAGE and field.type_name[1:] in messages:
            found += sensitive_below(field.type_name[1:], messages)
    return found


def self_field_faults(
    rule: access_pb2.Access, request: DescriptorProto, messages: dict[str, DescriptorProto]
) -> list[str]:
    if not rule.self_field:
        return []
    at, field = request, None
    for name in rule.self_field.split("."):
        field = {field.name: field for field in at.field}.get(name)
        if field is None:
            return [f"self_field {rule.self_field} is no field of the request"]
        at = messages.get(field.type_name[1:], DescriptorProto())
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return [f"self_field {rule.self_field} is repeated"]
    if field.type != FieldDescriptorProto.TYPE_STRING or not (is_required(field) or has_rule(request, rule.self_field)):
        return [f"self_field {rule.self_field} is not required"]
    return []


def has_rule(request: DescriptorProto, path: str) -> bool:
    """Whether a rule of the whole message requires a field inside one of its fields."""
    return any(cel.id == f"{path}.required" for cel in request.options.Extensions[validate_pb2.message].cel)


def is_required(field: FieldDescriptorProto) -> bool:
    return FieldBehavior.REQUIRED in field.options.Extensions[field_behavior]


def caller_faults(rule: access_pb2.Access, module: str) -> list[str]:
    unknown = [f"caller {caller} is no module" for caller in rule.callers if caller not in {*AURA_MODULES, KERNEL}]
    undeclared = [
        f"caller {caller} does not depend on {module}"
        for caller in rule.callers
        if caller in AURA_MODULES and module not in AURA_MODULES[caller].dependencies
    ]
    return unknown + undeclared


def sensitive_fields(image: FileDescriptorSet) -> dict[str, int]:
    return {
        f"{name}.{field.name}": field.options.Extensions[sensitivity_pb2.sensitivity]
        for name, message in messages_of(image).items()
        for field in message.field
        if field.options.Extensions[sensitivity_pb2.sensitivity]
    }


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    return image_of(protos.PROTOS, tmp_path_factory.mktemp("image") / "image.binpb")


def test_every_method_says_who_may_call_it_and_where_its_route_is(image: FileDescriptorSet):
    assert len(list(methods_of(image))) >= 13
    assert access_faults(image) == []


def test_events_hold_ids_and_no_personal_data(image: FileDescriptorSet):
    assert event_faults(image) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"user.registered"', '"UserRegistered"', "the type UserRegistered is not of the form"),
        ('subject_field: "user_id"', 'subject_field: "id"', "subject_field id is no text field of it"),
        (
            "string user_id = 1;",
            "string user_id = 1 [(aura.options.v1.sensitivity) = SENSITIVITY_PII];",
            "UserRegistered.user_id is sensitive, and in an event",
        ),
        (
            "string user_id = 1;",
            "string user_id = 1;\n  // Is the user.\n  User user = 9;",
            "aura.users.v1.User.email is sensitive, and in an event",
        ),
        (
            'option (aura.options.v1.event) = {\n    type: "user.registered"\n    subject_field: "user_id"\n  };',
            "",
            "UserRegistered is an event outside of events.proto, or none inside of it",
        ),
    ],
)
def test_a_wrong_event_is_found(copied: Path, plant: Plant, *, old: str, new: str, fault: str):
    imports = 'import "aura/options/v1/sensitivity.proto";\nimport "aura/users/v1/user.proto";\n'
    plant(EVENTS, 'import "aura/options/v1/event.proto";\n', f'import "aura/options/v1/event.proto";\n{imports}')
    plant(EVENTS, old, new)

    faults = event_faults(image_of(copied, copied / "image.binpb"))

    assert any(fault in found for found in faults), faults


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        (USERS, "external: EXTERNAL_RESTRICTED", "external: EXTERNAL_NONE", "has a route, but admits nobody"),
        (USERS, "external: EXTERNAL_RESTRICTED", "external: EXTERNAL_UNSPECIFIED", "does not say who may call it"),
        (USERS, "external: EXTERNAL_RESTRICTED", "external: EXTERNAL_PUBLIC", "names roles that its external rule"),
        (USERS, "roles: [ROLE_ADMIN]", "", "is restricted to nobody"),
        (USERS, "roles: [ROLE_ADMIN]", "roles: [ROLE_UNSPECIFIED]", "admits an unspecified role"),
        (USERS, 'self_field: "user_id"', 'self_field: "id"', "self_field id is no field of the request"),
        (USERS, 'callers: ["mentalhealth"]', 'callers: ["astrology"]', "caller astrology is no module"),
        (
            SESSIONS,
            "external: EXTERNAL_RESTRICTED",
            'external: EXTERNAL_RESTRICTED callers: ["users"]',
            "caller users does not depend on mentalhealth",
        ),
        (
            USERS,
            'callers: ["mentalhealth"]\n    };\n  }\n}',
            'callers: ["mentalhealth"]\n      self_field: "user_ids"\n    };\n  }\n}',
            "self_field user_ids is repeated",
        ),
        (
            USERS,
            "string user_id = 1 [\n    (google.api.field_behavior) = REQUIRED",
            "string user_id = 1 [\n    (google.api.field_behavior) = OPTIONAL",
            "self_field user_id is not required",
        ),
        (USERS, 'option (google.api.http) = {get: "/api/users:batchGet"};', "", "has no route"),
    ],
)
def test_a_wrong_access_rule_is_found(copied: Path, plant: Plant, *, name: str, old: str, new: str, fault: str):
    plant(name, old, new)

    faults = access_faults(image_of(copied, copied / "image.binpb"))

    assert any(fault in found for found in faults), faults


def test_a_method_without_any_access_rule_is_found(copied: Path):
    path = copied / USERS
    path.write_text(
        re.sub(r"option \(aura\.options\.v1\.access\) = \{.*?\n    \};", "", path.read_text(), flags=re.DOTALL)
    )

    faults = access_faults(image_of(copied, copied / "image.binpb"))

    assert [fault for fault in faults if "does not say who may call it" in fault] == [
        f"aura.users.v1.UserService.{method} does not say who may call it"
        for method in UserServiceServicer.__dict__
        if not method.startswith("_")
    ]


def test_the_fields_that_are_sensitive_are_those_that_were_reviewed(image: FileDescriptorSet):
    assert sensitive_fields(image) == SENSITIVE


def test_every_reason_that_a_person_wrote_is_health_information(image: FileDescriptorSet):
    reasons = [
        f"{name}.reason"
        for name, message in messages_of(image).items()
        for field in message.field
        if field.name == "reason" and field.type == FieldDescriptorProto.TYPE_STRING and ".mentalhealth." in name
    ]

    assert len(reasons) >= 4
    assert {sensitive_fields(image).get(name) for name in reasons} == {PHI}


def test_a_field_that_lost_its_class_is_found(copied: Path, plant: Plant):
    plant(USER, ",\n    (aura.options.v1.sensitivity) = SENSITIVITY_PII", "")

    changed = sensitive_fields(image_of(copied, copied / "image.binpb"))

    assert SENSITIVE.keys() - changed.keys() == {"aura.users.v1.User.email"}
