"""Encryption of a server's own address, by files that may change while it serves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from google.protobuf.wrappers_pb2 import StringValue
from structlog.testing import capture_logs

from aura.kernel.tls import TlsError, client_channel
from tests.support.certificates import AN_HOUR, certificates, credentials, files_of
from tests.support.network import calling, code_of_a_call, on_the_network

OK, AWAY = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


async def test_serves_those_who_trust_its_certificate_and_nobody_in_plain_text(tmp_path: Path):
    certificates(tmp_path, ("server",))
    certificates(tmp_path, (), authority="other")

    async with on_the_network(tls=files_of(tmp_path)) as address:
        assert await code_of_a_call(address, credentials(tmp_path)) is OK
        assert await code_of_a_call(address) is AWAY
        assert await code_of_a_call(address, credentials(tmp_path, authority="other")) is AWAY


async def test_with_an_authority_of_clients_admits_only_those_it_has_signed(tmp_path: Path):
    certificates(tmp_path, ("mallory",), authority="other")
    certificates(tmp_path, ("server", "ada"))

    async with on_the_network(tls=files_of(tmp_path, mutual=True)) as address:
        assert await code_of_a_call(address, credentials(tmp_path, "ada")) is OK
        assert await code_of_a_call(address, credentials(tmp_path)) is AWAY
        assert await code_of_a_call(address, credentials(tmp_path, "mallory")) is AWAY


async def test_shows_new_certificates_to_new_connections_without_a_restart(tmp_path: Path):
    certificates(tmp_path, ("server",))

    async with on_the_network(tls=files_of(tmp_path)) as address:
        old = credentials(tmp_path)
        async with grpc.aio.secure_channel(address, old) as channel:
            assert await calling(channel)(StringValue(), timeout=5) == StringValue()
            certificates(tmp_path, ("server",))

            assert await code_of_a_call(address, credentials(tmp_path)) is OK
            assert await code_of_a_call(address, old) is AWAY
            assert await calling(channel)(StringValue(), timeout=5) == StringValue()


async def test_a_new_authority_of_clients_admits_others_from_then_on(tmp_path: Path):
    certificates(tmp_path, ("server", "ada"))
    tls = files_of(tmp_path, mutual=True)
    async with on_the_network(tls=tls) as address:
        shutil.copy(tmp_path / "ca.pem", tmp_path / "first.pem")
        before = credentials(tmp_path, "ada")
        assert await code_of_a_call(address, before) is OK

        certificates(tmp_path, ("ben",), authority="other")
        shutil.copy(tmp_path / "other.pem", tmp_path / "ca.pem")

        assert await code_of_a_call(address, before) is AWAY
        assert await code_of_a_call(address, credentials(tmp_path, "ben", authority="first")) is OK


BROKEN: dict[str, Callable[[Path], object]] = {
    "missing": lambda folder: (folder / "server.pem").unlink(),
    "empty": lambda folder: (folder / "server.pem").write_bytes(b""),
    "of another key": lambda folder: shutil.copy(folder / "other.key", folder / "server.key"),
    "ended": lambda folder: certificates(folder, ("server",), begins=-2 * AN_HOUR, ends=-AN_HOUR),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_new_files_leave_the_old_ones_in_use_and_are_told_without_secrets(tmp_path: Path, case: str):
    certificates(tmp_path, ("server", "other"))
    trusted, secret = credentials(tmp_path), (tmp_path / "server.key").read_text().splitlines()[1]

    async with on_the_network(tls=files_of(tmp_path)) as address:
        assert await code_of_a_call(address, trusted) is OK
        with capture_logs() as lines:
            BROKEN[case](tmp_path)
            assert await code_of_a_call(address, trusted) is OK
            assert await code_of_a_call(address, trusted) is OK
            certificates(tmp_path, ("server",))
            assert await code_of_a_call(address, credentials(tmp_path)) is OK

    told = [line for line in lines if line["log_level"] == "error"]
    assert [line["event"] for line in told] == ["changed certificates cannot be used; the old ones stay"]
    assert "AURA_TLS_" in told[0]["problem"]
    assert secret not in str(told)


def encrypted(folder: Path) -> None:
    key = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"hunter2")
    form = serialization.PrivateFormat.PKCS8
    (folder / "server.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, locked))


# Each case: what is done to good files, and what the error must say.
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no certificate": (
        lambda folder: (folder / "server.pem").unlink(),
        r"AURA_TLS_CERTIFICATE_FILE: there is no file .*server\.pem; put it there",
    ),
    "no key": (
        lambda folder: (folder / "server.key").unlink(),
        r"AURA_TLS_PRIVATE_KEY_FILE: there is no file .*server\.key; put it there",
    ),
    "no authority": (
        lambda folder: (folder / "ca.pem").unlink(),
        r"AURA_TLS_CLIENT_AUTHORITY_FILE: there is no file .*ca\.pem; put it there",
    ),
    "a folder": (
        lambda folder: ((folder / "server.key").unlink(), (folder / "server.key").mkdir()),
        r"AURA_TLS_PRIVATE_KEY_FILE: cannot read .*server\.key: Is a directory; let the user",
    ),
    "no certificate in it": (
        lambda folder: shutil.copy(folder / "server.key", folder / "server.pem"),
        r"AURA_TLS_CERTIFICATE_FILE: .*server\.pem is no certificate in PEM form",
    ),
    "no key in it": (
        lambda folder: shutil.copy(folder / "server.pem", folder / "server.key"),
        r"AURA_TLS_PRIVATE_KEY_FILE: .*server\.key is no private key in PEM form",
    ),
    "encrypted key": (encrypted, r"AURA_TLS_PRIVATE_KEY_FILE: .* is encrypted; write it in plain: openssl pkey -in "),
    "another's key": (
        lambda folder: shutil.copy(folder / "other.key", folder / "server.key"),
        r"AURA_TLS_PRIVATE_KEY_FILE: .*server\.key is not the key of .*server\.pem; name the key",
    ),
    "ended": (
        lambda folder: certificates(folder, ("server",), begins=-2 * AN_HOUR, ends=-AN_HOUR),
        r"AURA_TLS_CERTIFICATE_FILE: .*server\.pem expired on \d{4}-\d\d-\d\d; renew it",
    ),
    "not begun": (
        lambda folder: certificates(folder, ("server",), begins=AN_HOUR, ends=timedelta(days=2)),
        r"AURA_TLS_CERTIFICATE_FILE: .*server\.pem is not valid before .* UTC; wait, or set this machine's clock",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_says_what_is_wrong_with_a_file_and_what_to_do(tmp_path: Path, case: str):
    certificates(tmp_path, ("server", "other"))
    spoil, says = FAULTS[case]
    spoil(tmp_path)

    with pytest.raises(TlsError, match=says):
        files_of(tmp_path, mutual=True).checked()


@pytest.mark.parametrize("mutual", [False, True])
async def test_the_command_line_reaches_its_own_server_by_the_certificate_it_finds(
    tmp_path: Path,
    mutual: bool,  # noqa: FBT001
):
    certificates(tmp_path, ("server",))
    tls = files_of(tmp_path, mutual=mutual)

    async with on_the_network(tls=tls) as address, client_channel(address, tls, []) as channel:
        assert await calling(channel)(StringValue(value="x"), timeout=5) == StringValue(value="x")
