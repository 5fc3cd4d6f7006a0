"""Hashes passwords with argon2id (RFC 9106), which is made to take time and memory."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from aura.users.errors import TooManyLogins
from aura.users.models.passwords import normalized

Result = TypeVar("Result")
THREADS = 2
LONGEST_QUEUE = 32
"""How many passwords may wait; each takes a good part of a tenth of a second, so nobody waits much longer than one."""


class PasswordHasher:
    """Hashes and verifies in a few threads: whoever sends many passwords keeps those busy, and nothing else.

    Args:
        memory_kib: how much memory each hash takes, in KiB.
        passes: how often it goes through that memory.
    """

    def __init__(self, *, memory_kib: int, passes: int) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._nobodys = _made_up(self._hasher)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Returns what is stored of a password.

        Raises:
            TooManyLogins: Too many wait already.
        """
        return await self._run(lambda: self._hasher.hash(normalized(password)))

    async def verify(self, password_hash: str, password: str) -> bool:
        """Returns whether a password is the one that was hashed; it takes as long where there is no hash.

        Raises:
            TooManyLogins: Too many wait already.
        """
        matches = await self._run(lambda: self._matches(password_hash or self._nobodys, normalized(password)))
        return matches and bool(password_hash)

    def is_outdated(self, password_hash: str) -> bool:
        """Returns whether a hash was made with other parameters than are in use now."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= LONGEST_QUEUE:
            raise TooManyLogins
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def _made_up(hasher: argon2.PasswordHasher) -> str:
    """Returns a hash that no password has, for accounts that have none; to make one up takes no time."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (hasher.salt_len, hasher.hash_len)
    )
    costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${costs}${salt}${digest}"
