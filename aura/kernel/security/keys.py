"""The platform's secrets: all derived from one file, none stored."""

from __future__ import annotations

import base64
import os
import secrets
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from pathlib import Path

SECRET_BYTES = 32


class SecretKeyError(Exception):
    """Says in one line why the secret key cannot be used, and what to do."""


class KeyRing:
    """Derives a key for each purpose from the platform's secret key by HKDF-SHA256 (RFC 5869)."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key(self, label: str, length: int = 32) -> bytes:
        """Returns `length` bytes that only this secret and this label give."""
        return HKDF(algorithm=SHA256(), length=length, salt=None, info=f"aura/{label}".encode()).derive(self._secret)

    def password(self, label: str) -> str:
        """Returns a password of 43 URL-safe characters that only this secret and this label give."""
        return base64.urlsafe_b64encode(self.key(label)).decode().rstrip("=")


def read_secret_key(path: Path, *, create: bool) -> KeyRing:
    """Returns the keys derived from the file; makes the file first, mode 0600, where it is missing and `create` holds.

    Raises:
        SecretKeyError: The file is missing, unreadable, open to others, or too short.
    """
    try:
        if create and not path.exists():
            _create(path)
        secret, mode = path.read_bytes().strip(), path.stat().st_mode
    except OSError as error:
        raise SecretKeyError(
            f"cannot use the secret key {path}: {error.strerror}; set AURA_DATA_DIR to a folder of your own, or "
            "AURA_SECRET_KEY_FILE to a file of random bytes, as made by: head -c 32 /dev/urandom | base64"
        ) from None
    if mode & 0o077:
        raise SecretKeyError(f"the secret key {path} is open to other users; run: chmod 600 {path}")
    if len(secret) < SECRET_BYTES:
        raise SecretKeyError(f"the secret key {path} is shorter than {SECRET_BYTES} bytes; put a longer one there")
    return KeyRing(secret)


def _create(path: Path) -> None:
    """Writes a new secret so that a crash leaves either none or a whole one, and of two writers one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(secrets.token_bytes(SECRET_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
