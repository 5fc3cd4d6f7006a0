from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message

from aura.kernel.errors import Code
from aura.kernel.interceptors.validation import InvalidRequest, Validation
from generated.aura.users.v1.user_service_pb2 import BatchGetUsersRequest, CreateUserRequest, GetUserRequest

REQUIRED = "[buf.validate.field] { required: true }"
NOT_EMPTY = "[buf.validate.field] { string { min_len: 1 } }"
CONTRACT = f"""
name: "aura/test/v1/booking.proto"
package: "aura.test.v1"
syntax: "proto3"
dependency: "buf/validate/validate.proto"
message_type {{
  name: "Booking"
  field {{ name: "room" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".aura.test.v1.Room"
          options {{ {REQUIRED} }} }}
  field {{ name: "guests" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".aura.test.v1.Guest" }}
  field {{ name: "labels" number: 3 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".aura.test.v1.Booking.LabelsEntry"
          options {{ [buf.validate.field] {{ map {{ values {{ string {{ min_len: 1 }} }} }} }} }} }}
  field {{ name: "by_floor" number: 4 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".aura.test.v1.Booking.ByFloorEntry" }}
  nested_type {{ name: "LabelsEntry" options {{ map_entry: true }}
    field {{ name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }}
    field {{ name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }} }}
  nested_type {{ name: "ByFloorEntry" options {{ map_entry: true }}
    field {{ name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_INT32 }}
    field {{ name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".aura.test.v1.Room" }} }}
  options {{
    [buf.validate.message] {{
      cel {{ id: "room.name.known" message: "is no room of ours"
             expression: "!has(this.room) || this.room.name != 'Nowhere'" }}
      cel {{ id: "room.size" message: "is too small"
             expression: "!has(this.room) || this.room.name != 'Cupboard'" }}
      cel {{ id: "too_many" message: "has too many guests"
             expression: "size(this.guests) < 30" }}
    }}
  }}
}}
message_type {{ name: "Room"
  field {{ name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING options {{ {NOT_EMPTY} }} }} }}
message_type {{ name: "Guest"
  field {{ name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING options {{ {NOT_EMPTY} }} }}
  field {{ name: "stays" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".aura.test.v1.Room" }} }}
"""


@pytest.fixture(scope="module")
def contract() -> dict[str, Any]:
    file = text_format.Parse(CONTRACT, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"aura.test.v1.{name}"))
        for name in ("Booking", "Room", "Guest")
    }


def refusal_of(request: Message) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        Validation().on_request(None, request)
    return caught.value


def test_lets_a_request_pass_that_keeps_its_contract(contract: dict[str, Any]):
    room = {"name": "Blue"}
    request = contract["Booking"](
        room=room, guests=[{"name": "Ada", "stays": [room]}], labels={"a": "b"}, by_floor={1: contract["Room"](**room)}
    )

    before = request.SerializeToString(deterministic=True)
    Validation().on_request(None, request)

    assert request.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("fields", "path", "rule"),
    [
        ({"room": None}, "room", "required"),
        ({"room": {"name": ""}}, "room.name", "string.min_len"),
        ({"guests": [{"name": "Ada"}, {"name": ""}]}, "guests[1].name", "string.min_len"),
        ({"guests": [{"name": "Ada", "stays": [{}]}]}, "guests[0].stays[0].name", "string.min_len"),
        ({"labels": {"a": "b", "colour": ""}}, "labels['colour']", "string.min_len"),
        ({"room": {"name": "Nowhere"}}, "room.name", "room.name.known"),
        ({"room": {"name": "Cupboard"}}, "room", "room.size"),
        ({"guests": [{"name": "Ada"}] * 30}, "", "too_many"),
    ],
)
def test_names_the_path_of_the_field(contract: dict[str, Any], fields: dict[str, Any], path: str, rule: str):
    given = {"room": {"name": "Blue"}, **fields}

    (violation,) = refusal_of(contract["Booking"](**given)).violations

    assert (violation.field, violation.rule) == (path, rule)


def test_names_the_path_in_a_map_with_numbers_for_keys(contract: dict[str, Any]):
    request = contract["Booking"](room={"name": "Blue"})
    request.by_floor[7].SetInParent()

    assert [violation.field for violation in refusal_of(request).violations] == ["by_floor[7].name"]


def test_the_message_says_what_is_wrong_with_the_first_field(contract: dict[str, Any]):
    one = refusal_of(contract["Booking"](room={"name": "Cupboard"}))
    three = refusal_of(contract["Booking"](room={"name": ""}, guests=[{}, {}]))
    whole = refusal_of(contract["Booking"](room={"name": "Blue"}, guests=[{"name": "Ada"}] * 30))

    assert str(one) == "room is too small"
    assert str(three) == "room.name must be at least 1 characters (and 2 more)"
    assert str(whole) == "the request has too many guests"


def test_is_an_invalid_argument_with_a_reason():
    refusal = refusal_of(GetUserRequest())

    assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "INVALID_REQUEST")


def test_names_every_broken_rule():
    request = CreateUserRequest(user={"email": "a" * 300, "display_name": " x", "roles": [0]})

    fields = [violation.field for violation in refusal_of(request).violations]

    assert fields == ["user.email", "user.display_name", "user.roles[0]"]


def test_says_nothing_of_the_values():
    request = CreateUserRequest(user={"email": "secret" * 50, "display_name": " secret", "roles": [1]})

    refusal = refusal_of(request)

    assert "secret" not in f"{refusal} {refusal.violations} {refusal.metadata}"


def test_names_no_more_fields_than_a_client_can_take():
    request = BatchGetUsersRequest(user_ids=[f"x{number}" for number in range(100)])

    refusal = refusal_of(request)

    assert len(refusal.violations) == 20
    assert "(and 99 more)" in str(refusal)
