"""Hashes passwords with argon2id (RFC 9106), which is made to take time and memory."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
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

    @cached_property
    def _nobodys(self) -> str:
        """A hash that no password has, for accounts that have none."""
        return self._hasher.hash(secrets.token_hex())

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
