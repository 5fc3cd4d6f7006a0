"""Between the module's models and its contract."""

from __future__ import annotations

from aura.kernel.etags import etag_of
from aura.kernel.times import to_timestamp
from aura.users.models.user import Profile, Role, User, UserState
from aura.users.repositories.users import UserOrder, UserQuery
from generated.aura.options.v1 import access_pb2
from generated.aura.users.v1 import user_pb2, user_service_pb2

_ROLES = {role: access_pb2.Role.Value(f"ROLE_{role}") for role in Role}
_STATES = {state: user_pb2.UserState.Value(f"USER_STATE_{state}") for state in UserState}
UPDATABLE = ("email", "display_name", "phone_number", "time_zone", "locale")


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


def query_from_proto(request: user_service_pb2.ListUsersRequest) -> UserQuery:
    """Returns which users a request asks for."""
    order = user_service_pb2.UserOrder.Name(request.order_by).removeprefix("USER_ORDER_")
    state = user_pb2.UserState.Name(request.state).removeprefix("USER_STATE_")
    return UserQuery(
        role=role_from_proto(request.role) if request.role else None,
        display_name_prefix=request.display_name_prefix,
        email_prefix=request.email_prefix,
        state=UserState(state) if request.state else None,
        order=UserOrder[order] if request.order_by else UserOrder.CREATE_TIME,
    )


def to_proto(user: User) -> user_pb2.User:
    """Returns a user as the contract describes it."""
    return user_pb2.User(
        user_id=str(user.user_id),
        email=user.profile.email,
        display_name=user.profile.display_name,
        phone_number=user.profile.phone_number,
        time_zone=user.profile.time_zone,
        locale=user.profile.locale,
        roles=[_ROLES[role] for role in user.roles],
        state=_STATES[user.state],
        create_time=to_timestamp(user.create_time),
        update_time=to_timestamp(user.update_time),
        etag=etag_of(user.version),
    )
