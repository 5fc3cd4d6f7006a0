"""What the module tells others, and its audit trail, of a change to a user: ids, and no personal data."""

from __future__ import annotations

from google.protobuf.message import Message

from aura.kernel.audit import AuditEntry
from aura.users.models.user import Change, ChangeKind, User
from generated.aura.options.v1 import access_pb2
from generated.aura.users.v1 import events_pb2


def event_of(user: User, change: Change) -> Message | None:
    """Returns the event that tells of a change which has led to `user`; None if it is nobody else's business."""
    user_id = str(user.user_id)
    match change.kind:
        case ChangeKind.CREATED:
            return events_pb2.UserRegistered(user_id=user_id, roles=_roles_of(user))
        case ChangeKind.DEACTIVATED:
            return events_pb2.UserDeactivated(user_id=user_id)
        case ChangeKind.REACTIVATED:
            return events_pb2.UserReactivated(user_id=user_id)
        case ChangeKind.ROLE_GRANTED | ChangeKind.ROLE_REVOKED:
            return events_pb2.UserRolesChanged(user_id=user_id, roles=_roles_of(user))
        case _:
            return None


def audit_entry_of(user: User, change: Change) -> AuditEntry:
    """Returns what the audit trail tells of a change which has led to `user`: no reason, nothing of the profile."""
    details: dict[str, str] = {}
    if change.kind is ChangeKind.CREATED:
        details = {"roles": ", ".join(f"ROLE_{role}" for role in user.roles)}
    elif change.role is not None:
        details = {"role": f"ROLE_{change.role}"}
    return AuditEntry(action=f"user.{change.kind.lower()}", subject=str(user.user_id), details=details)


def _roles_of(user: User) -> list[access_pb2.Role.ValueType]:
    return [access_pb2.Role.Value(f"ROLE_{role}") for role in user.roles]
