"""A caller who may do everything, for tests that are about something else: vouched for with the platform's key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import grpc

from aura.kernel.security.actor import KERNEL, LOCAL_ACTOR_ID
from aura.kernel.security.internal_identity import IDENTITY_METADATA, Identity, InternalIdentities
from aura.kernel.security.keys import KeyRing
from generated.aura.options.v1.access_pb2 import ROLE_SERVICE, ROLE_UNSPECIFIED, Role
from generated.aura.users.v1.authentication_service_pb2 import CreateAccountRequest, LoginRequest
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from tests.support.accounts import PASSWORD
from tests.support.cluster import KEYS

ALL_ROLES = frozenset(map(int, Role.values())) - {int(ROLE_UNSPECIFIED), int(ROLE_SERVICE)}
ROOT = Identity(user=LOCAL_ACTOR_ID, module="", roles=ALL_ROLES, source="127.0.0.1")
CARRIED = {"authorization", IDENTITY_METADATA}
SINGLE = "aura"


Carry = Callable[[str], tuple[Any, ...]]


class CallerChannel:
    """A channel, sync or async, on which somebody makes every call that does not say who else makes it.

    `carry` returns the metadata that says so for a method.
    """

    def __init__(self, channel: Any, carry: Carry) -> None:
        self._channel = channel
        self._carry = carry

    def metadata(self, method: str, given: Any = None) -> tuple[Any, ...]:
        """Returns the metadata that a call of a method carries."""
        given = tuple(given or ())
        return given if any(key in CARRIED for key, _ in given) else (*given, *self._carry(method))

    def unary_unary(self, method: str, *arguments: Any, **options: Any) -> _Method:
        return _Method(self, method, self._channel.unary_unary(method, *arguments, **options))

    def unary_stream(self, method: str, *arguments: Any, **options: Any) -> _Method:
        return _Method(self, method, self._channel.unary_stream(method, *arguments, **options))

    def stream_unary(self, method: str, *arguments: Any, **options: Any) -> _Method:
        return _Method(self, method, self._channel.stream_unary(method, *arguments, **options))

    def stream_stream(self, method: str, *arguments: Any, **options: Any) -> _Method:
        return _Method(self, method, self._channel.stream_stream(method, *arguments, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def __enter__(self) -> Self:
        self._channel.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._channel.__exit__(*raised)

    async def __aenter__(self) -> Self:
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._channel.__aexit__(*raised)


class _Method:
    def __init__(self, channel: CallerChannel, path: str, multicallable: Any) -> None:
        self._channel = channel
        self._path = path
        self._multicallable = multicallable

    def __call__(self, *arguments: Any, metadata: Any = None, **options: Any) -> Any:
        return self._with_metadata(self._multicallable)(*arguments, metadata=metadata, **options)

    def __getattr__(self, name: str) -> Any:
        return self._with_metadata(getattr(self._multicallable, name))

    def _with_metadata(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def made(*arguments: Any, metadata: Any = None, **options: Any) -> Any:
            return call(*arguments, metadata=self._channel.metadata(self._path, metadata), **options)

        return made


def root_channel(address: str, *, process: str = SINGLE, keys: KeyRing = KEYS, **options: Any) -> CallerChannel:
    """Returns a channel of grpc.aio to a process."""
    return as_root(grpc.aio.insecure_channel(address, **options), process=process, keys=keys)


def blocking_root_channel(address: str, *, process: str = SINGLE, keys: KeyRing = KEYS) -> CallerChannel:
    """Returns a channel whose calls block."""
    return as_root(grpc.insecure_channel(address), process=process, keys=keys)


def as_root(channel: Any, *, process: str = SINGLE, keys: KeyRing = KEYS) -> CallerChannel:
    """Returns a channel to a process as one on which root calls."""
    return CallerChannel(channel, vouched(ROOT, process, InternalIdentities(keys)))


async def signed_in_channel(
    target: str, *, users: str, process: str = SINGLE, keys: KeyRing = KEYS, **options: Any
) -> CallerChannel:
    """Returns a channel to any processes on which somebody with every role calls, who is logged in.

    `users` is the address of the process that hosts users, and `process` its name.
    """
    async with grpc.aio.insecure_channel(users) as channel:
        access_token = await new_access_token(channel, email="root@example.com", process=process, keys=keys)
    token = (("authorization", f"Bearer {access_token}"),)
    return CallerChannel(grpc.aio.insecure_channel(target, **options), lambda _: token)


async def new_access_token(
    channel: grpc.aio.Channel, *, email: str, process: str, keys: KeyRing = KEYS, source: str = ""
) -> str:
    """Returns the access token of a new account with every role, made in the process that hosts users.

    `source` is the network address that logs in, where the server believes this one whom it calls for.
    """
    credentials = {"email": email, "password": PASSWORD}
    identity = Identity(user=LOCAL_ACTOR_ID, module=KERNEL)
    carry = vouched(identity, process, InternalIdentities(keys))
    kernel: Any = AuthenticationServiceStub(CallerChannel(channel, carry))
    await kernel.CreateAccount(CreateAccountRequest(display_name="Root", roles=ALL_ROLES, **credentials))
    tokens = await AuthenticationServiceStub(channel).Login(
        LoginRequest(**credentials), metadata=[("x-forwarded-for", source)] if source else []
    )
    return str(tokens.access_token)


def vouched(identity: Identity, process: str, identities: InternalIdentities) -> Carry:
    """Returns what carries an identity to a process."""
    return lambda method: ((IDENTITY_METADATA, identities.seal(identity, method=method, process=process)),)
