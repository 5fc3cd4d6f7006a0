"""The part of the command line that deals with accounts and keys; it calls a platform that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, TypeVar

import grpc
import typer

from aura.kernel.cli import plain_errors
from generated.aura.options.v1.access_pb2 import ROLE_ADMIN, ROLE_OPERATOR, ROLE_SUPPORT, Role
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1.access_service_pb2 import ListVerificationKeysRequest
from generated.aura.users.v1.access_service_pb2_grpc import AccessServiceStub
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub

Connect = Callable[[], AbstractAsyncContextManager[grpc.aio.Channel]]
Result = TypeVar("Result")
SECONDS = 10.0
ROLES = {"admin": ROLE_ADMIN, "operator": ROLE_OPERATOR, "support": ROLE_SUPPORT}


def admin_commands(connect: Connect) -> typer.Typer:
    """Returns `aura admin`."""
    app = typer.Typer(help="Create the accounts that others are created with.", no_args_is_help=True)

    @app.callback()
    def _group() -> None:
        """Keeps `create` a command of its own, though it is the only one."""

    @app.command("create")
    def _create(
        *,
        email: Annotated[str, typer.Option(help="The person's e-mail address.")],
        name: Annotated[str, typer.Option(help="The person's name.")],
        role: Annotated[list[str] | None, typer.Option(help="admin, operator or support; may be repeated.")] = None,
    ) -> None:
        """Create an account for somebody who runs the platform, and show its password, this once."""
        roles = [_role(each) for each in role or ["admin"]]
        request = pb.CreateAccountRequest(email=email, display_name=name, roles=roles)
        answer = _ask(connect, lambda stub: stub.CreateAccount(request, timeout=SECONDS))
        typer.echo(f"user      {answer.user_id}\npassword  {answer.password}")

    return app


def keys_commands(connect: Connect) -> typer.Typer:
    """Returns `aura keys`."""
    app = typer.Typer(help="Deal with the keys that access tokens are signed with.", no_args_is_help=True)

    @app.command("rotate")
    def _rotate() -> None:
        """Make a new signing key; the one before verifies until the last of its tokens has expired."""
        answer = _ask(connect, lambda stub: stub.RotateSigningKey(pb.RotateSigningKeyRequest(), timeout=SECONDS))
        typer.echo(f"key {answer.key_id} signs from {answer.activate_time.ToJsonString()} on")

    @app.command("list")
    def _list() -> None:
        """List the keys that verify access tokens now, the newest first."""
        request = ListVerificationKeysRequest()
        answer = _ask(connect, lambda stub: stub.ListVerificationKeys(request, timeout=SECONDS), AccessServiceStub)
        for key in answer.keys:
            typer.echo(key.kid)

    return app


def _role(name: str) -> Role.ValueType:
    if name not in ROLES:
        raise typer.BadParameter(f"there is no role {name} to run the platform in; there are {', '.join(ROLES)}")
    return ROLES[name]


def _ask(
    connect: Connect,
    call: Callable[[Any], Awaitable[Result]],
    stub_class: Callable[[grpc.aio.Channel], Any] = AuthenticationServiceStub,
) -> Result:
    async def ask() -> Result:
        async with connect() as channel:
            return await call(stub_class(channel))

    with plain_errors():
        return asyncio.run(ask())
    raise AssertionError("an error ends the program")
