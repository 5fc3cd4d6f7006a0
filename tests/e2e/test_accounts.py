"""Accounts as people and operators meet them: real processes, a real mail server, the command line."""

from __future__ import annotations

import asyncio
import email
import email.message
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from aiosmtpd.controller import Controller

from aura.users.services.throttle import ACCOUNT
from generated.aura.users.v1 import authentication_service_pb2 as pb
from generated.aura.users.v1 import user_service_pb2
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from generated.aura.users.v1.user_service_pb2_grpc import UserServiceStub
from tests.support.accounts import PASSWORD, bearer, set_password
from tests.support.failures import failure_of
from tests.support.ports import free_port
from tests.support.root import blocking_root_channel, root_channel
from tests.support.server_process import ROOT, ServerProcess, write_secret_key

EMAIL, GOOD = "ada@example.com", "correct horse battery"
PORTS = re.compile(r"(\d+)$")


class Inbox:
    """A mail server's handler: keeps what comes, and can be slow to say that it has it."""

    def __init__(self) -> None:
        self.letters: list[email.message.Message] = []
        self.seconds = 0.0

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 aiosmtpd's
        self.letters.append(email.message_from_bytes(envelope.content))
        await asyncio.sleep(self.seconds)
        return "250 OK"

    def code(self) -> str:
        found = re.search(r": ([A-Z2-7]{32})", self.text(-1))
        assert found, self.text(-1)
        return found[1]

    def text(self, number: int) -> str:
        payload = self.letters[number].get_payload(decode=True)
        assert isinstance(payload, bytes)
        return payload.decode()

    def wait(self, count: int, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while len(self.letters) < count:
            assert time.monotonic() < deadline, f"{len(self.letters)} of {count} letters came"
            time.sleep(0.02)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def mail_server(inbox: Inbox) -> Iterator[str]:
    """The URL of a mail server that runs."""
    port = free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port, ready_timeout=10)
    controller.start()
    yield f"smtp+plain://127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def new_aura(new_server_on_clone: Callable[..., ServerProcess]) -> Callable[..., ServerProcess]:
    """Makes servers whose hashes cost little."""
    return lambda **options: new_server_on_clone(password_memory_kib=8192, environment="test", **options)


def accounts_at(address: str) -> Any:
    return AuthenticationServiceStub(grpc.insecure_channel(address))


# Mail


def test_mails_bring_the_codes_and_no_log_does(new_aura: Callable[..., ServerProcess], inbox: Inbox, mail_server: str):
    server = new_aura(smtp_url=mail_server, log_level="debug", public_url="https://aura.example.com").start()
    accounts = accounts_at(server.address)
    accounts.Register(pb.RegisterRequest(email=EMAIL, password=GOOD, display_name="Ada Lovelace"))
    inbox.wait(1)
    first = inbox.code()
    accounts.VerifyEmail(pb.VerifyEmailRequest(email=EMAIL, code=first, password=GOOD))
    accounts.RequestPasswordReset(pb.RequestPasswordResetRequest(email=EMAIL))
    inbox.wait(2)
    second = inbox.code()
    accounts.ResetPassword(pb.ResetPasswordRequest(email=EMAIL, code=second, new_password="a quiet lake"))
    tokens = accounts.Login(pb.LoginRequest(email=EMAIL, password="a quiet lake"))
    inbox.wait(3)
    with pytest.raises(grpc.RpcError):
        accounts.Login(pb.LoginRequest(email=EMAIL, password="another secret of hers"))
    with pytest.raises(grpc.RpcError):
        accounts.RefreshToken(pb.RefreshTokenRequest(refresh_token=f"{tokens.refresh_token}x"))
    enrolled = accounts.EnrollTotp(pb.EnrollTotpRequest(password="a quiet lake"), metadata=bearer(tokens.access_token))
    client = AuthenticationServiceStub(blocking_root_channel(server.address)).CreateServiceClient(
        pb.CreateServiceClientRequest(display_name="x", services=["aura.users.v1.UserService"])
    )
    issued = accounts.IssueServiceToken(
        pb.IssueServiceTokenRequest(client_id=client.client_id, client_secret=client.client_secret)
    )
    server.stop()

    subjects = ["Confirm your e-mail address", "Choose a new password", "Your password was changed"]
    assert [letter["Subject"] for letter in inbox.letters] == subjects
    assert {letter["To"] for letter in inbox.letters} == {EMAIL}
    link = f"https://aura.example.com/verify-email#email=ada%40example.com&code={first}"
    assert link in inbox.text(0)
    logs = server.logs()
    secrets = [first, second, GOOD, "a quiet lake", "another secret of hers", tokens.access_token, enrolled.secret]
    secrets += [tokens.refresh_token, client.client_secret, issued.access_token, EMAIL, "Lovelace"]
    assert [secret for secret in secrets if secret in logs] == []
    assert logs.count("AuthenticationService/Login") >= 2


def test_killed_while_it_sends_nothing_is_lost_and_little_is_doubled(
    new_aura: Callable[..., ServerProcess], inbox: Inbox, mail_server: str, plain_url: str
):
    options = {"smtp_url": mail_server, "event_lease_seconds": 2, "event_handler_seconds": 1.5}
    server = new_aura(**options).start()
    inbox.seconds = 1.0
    accounts_at(server.address).Register(pb.RegisterRequest(email=EMAIL, password=GOOD, display_name="Ada"))
    inbox.wait(1)

    server.kill()
    inbox.seconds = 0.0
    server.start()
    inbox.wait(2)

    _until_empty(plain_url)
    assert len(inbox.letters) == 2
    assert len({letter["Message-ID"] for letter in inbox.letters}) == 1
    request = pb.VerifyEmailRequest(email=EMAIL, code=inbox.code(), password=GOOD)
    assert accounts_at(server.address).VerifyEmail(request).user_id


def test_a_mail_server_that_is_away_is_waited_for(
    new_aura: Callable[..., ServerProcess], inbox: Inbox, mail_server: str, plain_url: str
):
    server = new_aura(smtp_url="smtp+plain://127.0.0.1:1").start()
    accounts_at(server.address).Register(pb.RegisterRequest(email=EMAIL, password=GOOD, display_name="Ada"))
    deadline = time.monotonic() + 10
    while "mail was not sent" not in server.logs():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    server.stop()

    new_aura(smtp_url=mail_server).start()

    inbox.wait(1, seconds=30)
    _until_empty(plain_url)


def _until_empty(url: str) -> None:
    async def wait() -> None:
        connection = await asyncpg.connect(url)
        async with asyncio.timeout(20):
            while await connection.fetchval("SELECT count(*) FROM users.mail_queue"):  # noqa: ASYNC110 no event
                await asyncio.sleep(0.05)
        await connection.close()

    asyncio.run(wait())


# Lockout


async def test_two_processes_and_a_restart_share_one_lock(new_aura: Callable[..., ServerProcess], database_url: Any):
    first, second = new_aura().launch(), new_aura().launch()
    for server in (first, second):
        await asyncio.to_thread(server.wait_until_serving)
    async with root_channel(first.address) as channel:
        request = user_service_pb2.CreateUserRequest(user={"email": EMAIL, "display_name": "Ada", "roles": [1]})
        await set_password(database_url, (await UserServiceStub(channel).CreateUser(request)).user_id)

    async def guess(server: ServerProcess, password: str) -> str:
        async with grpc.aio.insecure_channel(server.address) as channel:
            login = AuthenticationServiceStub(channel).Login(pb.LoginRequest(email=EMAIL, password=password))
            return (await failure_of(login)).reason

    half = ACCOUNT.attempts // 2
    before = await asyncio.gather(*(guess(server, "wrong") for server in (first, second) for _ in range(half - 1)))
    await asyncio.to_thread(first.kill)
    await asyncio.to_thread(first.start)
    after = await asyncio.gather(*(guess(server, "wrong") for server in (first, second) for _ in range(half)))
    right = [await guess(server, PASSWORD) for server in (first, second)]

    assert {*before, *after, *right} == {"CREDENTIALS_INVALID"}
    connection = await asyncpg.connect(first._settings["DATABASE_URL"])
    rows = await connection.fetch("SELECT details->>'why' AS why, count(*) FROM users.audit GROUP BY 1")
    await connection.close()
    counts = {row["why"]: row["count"] for row in rows}
    assert counts["credentials"] == ACCOUNT.attempts
    assert counts["locked"] == len(before) + len(after) + len(right) - ACCOUNT.attempts


# The first run, and the command line


def aura(server: ServerProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the `aura` command with a server's settings, on the machine that it runs on."""
    port = PORTS.search(server.address)
    assert port
    environment = server._environment() | {"AURA_PORT": port[1], "PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-m", "aura", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
        timeout=60,
    )


@pytest.fixture
def development(new_server: Callable[..., ServerProcess]) -> ServerProcess:
    return new_server(password_memory_kib=8192).start()


def test_the_first_run_creates_an_admin_and_shows_the_password_once(development: ServerProcess):
    logs = development.logs()
    password = re.search(r"password:\s+(\S+)", logs)
    assert password
    assert "first admin: admin@example.com" in logs
    login = pb.LoginRequest(email="admin@example.com", password=password[1])
    assert accounts_at(development.address).Login(login).access_token
    development.stop()

    development.start()

    assert "first admin" not in development.logs()
    assert accounts_at(development.address).Login(login).access_token


def test_only_the_command_line_creates_an_admin_in_production(
    new_server_on_clone: Callable[..., ServerProcess], mail_server: str
):
    server = new_server_on_clone(environment="production", smtp_url=mail_server, password_memory_kib=8192).start()
    assert "first admin" not in server.logs()

    made = aura(server, "admin", "create", "--email", "ops@example.com", "--name", "Ops", "--role", "operator")
    again = aura(server, "admin", "create", "--email", "ops@example.com", "--name", "Ops")
    wrong = aura(server, "admin", "create", "--email", "ops", "--name", "Ops")
    unknown = aura(server, "admin", "create", "--email", "x@example.com", "--name", "Ops", "--role", "boss")

    assert made.returncode == 0, made.stderr
    password = re.search(r"password  (\S+)", made.stdout)
    assert password
    tokens = accounts_at(server.address).Login(pb.LoginRequest(email="ops@example.com", password=password[1]))
    user = UserServiceStub(grpc.insecure_channel(server.address)).GetUser(
        user_service_pb2.GetUserRequest(user_id=tokens.user_id), metadata=bearer(tokens.access_token)
    )
    assert list(user.roles) == [5]
    assert again.stderr == "aura: another user has this e-mail address; choose another one\n"
    assert wrong.stderr == "aura: email must be an e-mail address, as ada@example.com\n"
    assert "there is no role boss" in unknown.stderr
    assert {each.returncode for each in (again, wrong)} == {1}


def test_keys_are_rotated_by_the_command_line(development: ServerProcess):
    password = re.search(r"password:\s+(\S+)", development.logs())
    assert password
    accounts_at(development.address).Login(pb.LoginRequest(email="admin@example.com", password=password[1]))

    before = aura(development, "keys", "list").stdout.split()
    rotated = aura(development, "keys", "rotate")
    after = aura(development, "keys", "list").stdout.split()

    assert len(before) == 1
    assert after == [rotated.stdout.split()[1], *before]


def test_the_command_line_says_what_is_missing(development: ServerProcess, tmp_path: Path):
    development.stop()
    away = aura(development, "keys", "rotate")
    development._settings["SECRET_KEY_FILE"] = tmp_path / "none"
    keyless = aura(development, "keys", "rotate")

    assert away.stderr.startswith(
        "aura: module users cannot be reached in process aura; start it first, on this machine"
    )
    assert keyless.stderr.startswith(f"aura: cannot use the secret key {tmp_path / 'none'}")
    assert away.returncode == keyless.returncode == 1


def test_another_secret_key_opens_nothing(development: ServerProcess, tmp_path: Path):
    development._settings["SECRET_KEY_FILE"] = write_secret_key(tmp_path / "other.key", b"y" * 40)

    refused = aura(development, "keys", "rotate")

    assert refused.returncode == 1
    assert refused.stderr.startswith("aura: the platform runs with another secret key than this command")


def test_the_demo_shows_lines_that_work(development: ServerProcess):
    shown = aura(development, "demo")
    again = aura(development, "demo")

    assert shown.returncode == again.returncode == 0, shown.stderr + again.stderr
    lines = [line.strip() for line in again.stdout.splitlines()]
    assert "6 sessions booked for tomorrow" in shown.stdout
    assert "0 sessions booked for tomorrow" in again.stdout
    (curl,) = [line for line in lines if line.startswith("buf curl")]
    buf = Path(sys.executable).parent / "buf"
    done = subprocess.run(["sh", "-c", curl.replace("buf", str(buf), 1)], capture_output=True, text=True, check=False)
    assert '"displayName": "Tilda Brandt"' in done.stdout.replace('":"', '": "'), done.stdout + done.stderr


def test_the_demo_is_for_development_only(new_aura: Callable[..., ServerProcess]):
    server = new_aura().start()

    refused = aura(server, "demo")

    assert refused.returncode == 1
    assert refused.stderr.startswith("aura: the demo is for AURA_ENVIRONMENT=development only")
