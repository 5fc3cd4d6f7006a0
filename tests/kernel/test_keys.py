from __future__ import annotations

import hmac
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aura.kernel.security.keys import KeyRing, SecretKeyError, read_secret_key

SECRET = b"a secret of exactly 32 bytes, ok"

READ_AT_ONCE = """
import sys, time
from pathlib import Path
from aura.kernel.security.keys import read_secret_key
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
print(read_secret_key(Path(sys.argv[1]), create=True).password("x"))
"""


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, sections 2.2 and 2.3, word for word."""
    pseudorandom = hmac.digest(salt or bytes(32), secret, "sha256")
    output, block = b"", b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(pseudorandom, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret.key"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


def test_the_reference_below_agrees_with_the_rfc():
    """RFC 5869, appendix A.1."""
    derived = hkdf_sha256(
        bytes.fromhex("0b" * 22),
        salt=bytes.fromhex("000102030405060708090a0b0c"),
        info=bytes.fromhex("f0f1f2f3f4f5f6f7f8f9"),
        length=42,
    )

    assert derived.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"


@pytest.mark.parametrize("length", [16, 32, 33, 100])
def test_derives_keys_by_hkdf(length: int):
    derived = KeyRing(SECRET).key("page-tokens", length)

    assert derived == hkdf_sha256(SECRET, salt=b"", info=b"aura/page-tokens", length=length)


def test_other_labels_and_other_secrets_give_other_keys():
    keys = {
        KeyRing(SECRET).key("a"),
        KeyRing(SECRET).key("b"),
        KeyRing(SECRET[:-1]).key("a"),
        KeyRing(SECRET).key("a", 16),
    }

    assert len({key[:16] for key in keys}) == 3


def test_passwords_can_stand_in_a_url():
    password = KeyRing(SECRET).password("postgres-role/users")

    assert len(password) == 43
    assert set(password) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_shows_no_secret():
    assert "secret of" not in repr(KeyRing(SECRET))


def test_makes_a_file_that_only_its_owner_can_read(tmp_path: Path):
    path = tmp_path / "new" / "folder" / "secret.key"

    made = read_secret_key(path, create=True)

    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret.key"]
    assert read_secret_key(path, create=False).key("x") == made.key("x")


def test_each_new_file_holds_another_secret(tmp_path: Path):
    one, other = (read_secret_key(tmp_path / name, create=True) for name in ("one", "other"))

    assert one.key("x") != other.key("x")


def test_keeps_a_file_that_exists(key_file: Path):
    keys = read_secret_key(key_file, create=True)

    assert keys.key("x") == KeyRing(SECRET).key("x")
    assert key_file.read_bytes() == SECRET


def test_processes_that_make_the_file_at_the_same_time_end_with_one_secret(tmp_path: Path):
    path, start = tmp_path / "secret.key", str(time.time() + 1)
    arguments = [sys.executable, "-c", READ_AT_ONCE, str(path), start]
    processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    passwords = {process.communicate(timeout=30)[0].strip() for process in processes}

    assert [process.returncode for process in processes] == [0] * 4
    assert passwords == {read_secret_key(path, create=False).password("x")}
    assert [file.name for file in tmp_path.iterdir()] == ["secret.key"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_refuses_a_file_open_to_others(key_file: Path, mode: int):
    key_file.chmod(mode)

    with pytest.raises(SecretKeyError, match=f"is open to other users; run: chmod 600 {key_file}"):
        read_secret_key(key_file, create=True)


@pytest.mark.parametrize("content", [b"", b"tiny", SECRET[:-1], SECRET[:-1] + b"\n" * 40])
def test_refuses_a_short_secret(key_file: Path, content: bytes):
    key_file.write_bytes(content)

    with pytest.raises(SecretKeyError, match="is shorter than 32 bytes") as caught:
        read_secret_key(key_file, create=True)

    assert not content.strip() or content.strip().decode() not in str(caught.value)


def test_refuses_a_missing_file_where_none_may_be_made(tmp_path: Path):
    path = tmp_path / "secret.key"

    with pytest.raises(
        SecretKeyError,
        match="No such file or directory; set AURA_DATA_DIR to a folder of your own",
    ):
        read_secret_key(path, create=False)

    assert not path.exists()


@pytest.mark.parametrize("path", ["/proc/nowhere/secret.key", "/dev/null/secret.key", "/"])
def test_says_in_one_line_that_the_file_can_be_neither_read_nor_made(path: str):
    with pytest.raises(SecretKeyError, match=r"^cannot .*; set AURA_DATA_DIR to ") as caught:
        read_secret_key(Path(path), create=True)

    assert "\n" not in str(caught.value)
