"""Who calls Aura in a benchmark: an admin who is logged in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import grpc

from benchmarks.servers import ROOT, Server
from generated.aura.users.v1.authentication_service_pb2 import LoginRequest
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub

EMAIL = "benchmark.admin@example.com"
RENEWED_SECONDS = 120.0
"""How long a token is used; it is good for five minutes, and no load takes three."""


class Admin:
    """An admin of a server, made by the command that makes them, with an access token that is never about to expire."""

    def __init__(self, server: Server, environment: Mapping[str, str]) -> None:
        self._address = server.address
        self._password = _create(environment | {"AURA_PORT": str(server.port)})
        self._token, self._issued = "", -RENEWED_SECONDS

    @property
    def token(self) -> str:
        """An access token."""
        if time.monotonic() - self._issued > RENEWED_SECONDS:
            with grpc.insecure_channel(self._address) as channel:
                login = LoginRequest(email=EMAIL, password=self._password)
                self._token = AuthenticationServiceStub(channel).Login(login, wait_for_ready=True).access_token
            self._issued = time.monotonic()
        return self._token

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """What a call carries."""
        return [("authorization", f"Bearer {self.token}")]

    def bound(self, method: Any) -> Any:
        """Returns a stub's method as the admin calls it."""
        return lambda request, **options: method(request, metadata=self.metadata, **options)


def _create(environment: Mapping[str, str]) -> str:
    """Creates the account; returns its password."""
    command = [sys.executable, "-m", "aura", "admin", "create", "--email", EMAIL, "--name", "Benchmark Admin"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=False
    )
    password = re.search(r"^password +(\S+)$", done.stdout, re.MULTILINE)
    if password is None:
        raise SystemExit(f"bench: no admin could be made: {done.stderr}")
    return password[1]
