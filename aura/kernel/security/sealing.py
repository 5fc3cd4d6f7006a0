"""Seals small pieces of data so that nobody else can read or change them (AES-256-GCM)."""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class SealBroken(ValueError):
    """The data was not sealed with this key in this context, or has been changed since."""


class Sealer:
    """Seals data for one purpose, under a key of its own: 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, *, context: bytes = b"") -> bytes:
        """Returns the data sealed: it opens in the same context only, as for the row that it belongs to."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, context)

    def open(self, sealed: bytes, *, context: bytes = b"") -> bytes:
        """Returns what was sealed.

        Raises:
            SealBroken: It was not, or not so.
        """
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise SealBroken from None
