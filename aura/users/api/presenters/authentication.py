"""Between what the module knows of accounts and its contract."""

from __future__ import annotations

import base64

from aura.kernel.times import to_timestamp
from aura.users.models.login_session import LoginSession
from aura.users.models.signing_key import SigningKey
from aura.users.models.user import Role
from aura.users.services.access import Access
from aura.users.services.tokens import Tokens
from generated.aura.options.v1 import access_pb2
from generated.aura.users.v1 import access_service_pb2, json_web_key_pb2, login_session_pb2
from generated.aura.users.v1 import authentication_service_pb2 as pb


def tokens_to_proto(tokens: Tokens) -> pb.TokenPair:
    """Returns the tokens of a session as the contract describes them."""
    return pb.TokenPair(
        access_token=tokens.access_token,
        access_token_expire_time=to_timestamp(tokens.access_token_expire_time),
        refresh_token=tokens.refresh_token,
        session_expire_time=to_timestamp(tokens.session.expire_time),
        session_id=str(tokens.session.session_id),
        user_id=str(tokens.session.user_id),
    )


def session_to_proto(session: LoginSession, *, current: bool) -> login_session_pb2.LoginSession:
    """Returns a session as the contract describes it."""
    return login_session_pb2.LoginSession(
        session_id=str(session.session_id),
        user_id=str(session.user_id),
        create_time=to_timestamp(session.create_time),
        last_use_time=to_timestamp(session.rotate_time),
        idle_expire_time=to_timestamp(session.idle_expire_time),
        expire_time=to_timestamp(session.expire_time),
        source=session.source,
        user_agent=session.user_agent,
        current=current,
    )


def key_to_proto(key: SigningKey) -> json_web_key_pb2.JsonWebKey:
    """Returns the public half of a key as a JSON Web Key."""
    x = base64.urlsafe_b64encode(key.public_key).decode().rstrip("=")
    return json_web_key_pb2.JsonWebKey(kty="OKP", crv="Ed25519", x=x, kid=key.key_id, use="sig", alg="EdDSA")


def access_to_proto(access: Access) -> access_service_pb2.GetAccessResponse:
    """Returns what a caller may be as the contract describes it."""
    return access_service_pb2.GetAccessResponse(
        user_id=str(access.user_id), roles=map(role_to_proto, access.roles), services=access.services
    )


def role_to_proto(role: Role) -> access_pb2.Role.ValueType:
    """Returns the value of the contract that stands for a role."""
    return access_pb2.Role.Value(f"ROLE_{role}")
