"""Between the module's models and its contract."""

from __future__ import annotations

from aura.kernel.times import to_timestamp
from aura.users.models import Profile, Role, User
from generated.aura.options.v1 import access_pb2
from generated.aura.users.v1 import user_pb2


def profile_from_proto(message: user_pb2.User) -> Profile:
    """Returns the profile that a request describes."""
    return Profile.parse(
        email=message.email,
        display_name=message.display_name,
        phone_number=message.phone_number,
        time_zone=message.time_zone,
        locale=message.locale,
    )


def role_from_proto(value: access_pb2.Role.ValueType) -> Role:
    """Returns the role that a value of the contract stands for."""
    return Role(access_pb2.Role.Name(value).removeprefix("ROLE_"))


def to_proto(user: User) -> user_pb2.User:
    """Returns a user as the contract describes it."""
    return user_pb2.User(
        user_id=str(user.user_id),
        email=user.profile.email,
        display_name=user.profile.display_name,
        phone_number=user.profile.phone_number,
        time_zone=user.profile.time_zone,
        locale=user.profile.locale,
        roles=[access_pb2.Role.Value(f"ROLE_{role}") for role in user.roles],
        state=user_pb2.UserState.Value(f"USER_STATE_{user.state}"),
        create_time=to_timestamp(user.create_time),
        update_time=to_timestamp(user.update_time),
        etag=f"{user.version}",
    )
