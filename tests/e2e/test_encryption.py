"""A server that is encrypted by settings, as an operator runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from generated.aura.users.v1.authentication_service_pb2 import GetJwksRequest
from generated.aura.users.v1.authentication_service_pb2_grpc import AuthenticationServiceStub
from tests.e2e.conftest import NewServer
from tests.support.certificates import certificates, credentials, files_of


async def keys_from(address: str, trusted: grpc.ChannelCredentials) -> grpc.StatusCode:
    async with grpc.aio.secure_channel(address, trusted, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub: Any = AuthenticationServiceStub(channel)
        return await stub.GetJwks(GetJwksRequest(), timeout=5).code()


async def test_serves_with_its_certificate_renews_it_and_answers_its_own_command_line(
    new_server_on_clone: NewServer, tmp_path: Path
):
    certificates(tmp_path, ("server",))
    files = files_of(tmp_path)
    settings = {"tls_certificate_file": files.certificate, "tls_private_key_file": files.key}

    server = new_server_on_clone(**settings, host="0.0.0.0").start()
    port = server.address.rpartition(":")[2]
    first = credentials(tmp_path)
    assert f"grpcurl -cacert {files.certificate} 0.0.0.0:{port} list" in server.logs()
    assert await keys_from(f"127.0.0.1:{port}", first) is grpc.StatusCode.OK

    certificates(tmp_path, ("server",))
    assert await keys_from(f"127.0.0.1:{port}", credentials(tmp_path)) is grpc.StatusCode.OK
    assert await keys_from(f"127.0.0.1:{port}", first) is grpc.StatusCode.UNAVAILABLE

    command = new_server_on_clone(arguments=("-m", "aura", "modules"), **settings, host="0.0.0.0", port=port)
    listed = command.launch().finish()
    assert listed.code == 0, listed.output
    assert "users" in listed.output
    assert server.stop() == 0
