"""The keys that access tokens are signed with, and their rotation."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from aura.kernel.audit import AuditEntry
from aura.kernel.clock import Clock
from aura.kernel.security.module_secrets import ModuleSecrets
from aura.users.models.login_session import ACCESS_TOKEN_LIFETIME
from aura.users.models.signing_key import SigningKey
from aura.users.repositories.signing_keys import SigningKeyRepository
from aura.users.repositories.unit_of_work import UsersUnitOfWork

KNOWN_SECONDS = 5.0
"""How long the keys are taken for known."""
LEAD = timedelta(seconds=10)
"""How long a new key is published before it is used: longer than others take the keys for known."""
MARGIN = timedelta(minutes=1)
"""How long a key verifies beyond the last token that was signed with it."""

RAW = serialization.Encoding.Raw


class SigningKeys:
    """The keys of this platform, as this process knows them."""

    def __init__(self, *, keys: SigningKeyRepository, secrets: ModuleSecrets, clock: Clock) -> None:
        self._keys = keys
        self._sealer = secrets.sealer("signing-keys")
        self._clock = clock
        self._known: Sequence[SigningKey] = ()
        self._known_at = -KNOWN_SECONDS
        self._private: dict[str, Ed25519PrivateKey] = {}
        self._lock = asyncio.Lock()

    async def published(self) -> Sequence[SigningKey]:
        """Returns the keys that verify tokens, the newest first."""
        async with self._lock:
            if time.monotonic() - self._known_at > KNOWN_SECONDS:
                self._known, self._known_at = await self._keys.published(self._clock.now()), time.monotonic()
        return self._known

    async def current(self) -> tuple[str, Ed25519PrivateKey] | None:
        """Returns the id of the key to sign with, and the key: the newest active one, else the oldest.

        A key may be the only one and not be active yet, as after a rotation before the first login.
        """
        now, published = self._clock.now(), await self.published()
        if not published:
            return None
        key = next((each for each in published if each.activate_time <= now), published[-1])
        if key.key_id not in self._private:
            self._private[key.key_id] = self._opened(key)
        return key.key_id, self._private[key.key_id]

    def forget(self) -> None:
        """Has the keys read again, for they have changed."""
        self._known_at = -KNOWN_SECONDS

    def make(self, activate_time: datetime) -> SigningKey:
        """Returns a new key."""
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes(RAW, serialization.PublicFormat.Raw)
        key_id = base64.urlsafe_b64encode(public[:12]).decode()
        secret = private.private_bytes(RAW, serialization.PrivateFormat.Raw, serialization.NoEncryption())
        return SigningKey(
            key_id=key_id,
            public_key=public,
            sealed_private_key=self._sealer.seal(secret, context=key_id.encode()),
            activate_time=activate_time,
        )

    def _opened(self, key: SigningKey) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(
            self._sealer.open(key.sealed_private_key, context=key.key_id.encode())
        )


class KeyRotation:
    """Makes the first key, and new ones."""

    def __init__(self, *, unit_of_work: UsersUnitOfWork, keys: SigningKeys, clock: Clock) -> None:
        self._unit_of_work = unit_of_work
        self._keys = keys
        self._clock = clock

    async def current(self) -> tuple[str, Ed25519PrivateKey]:
        """Returns the id of the key to sign with, and the key; makes one if there is none."""
        found = await self._keys.current()
        if found is None:
            now = self._clock.now()
            async with self._unit_of_work as work:
                await work.signing_keys.lock()
                if not await work.signing_keys.published(now):
                    await work.signing_keys.add(self._keys.make(now))
                await work.commit()
            self._keys.forget()
            found = await self._keys.current()
            assert found is not None
        return found

    async def rotate(self) -> SigningKey:
        """Makes a new key, used in ten seconds; the others verify until the last of their tokens has expired."""
        now = self._clock.now()
        key = self._keys.make(now + LEAD)
        async with self._unit_of_work as work:
            await work.signing_keys.lock()
            await work.signing_keys.forget_retired(now)
            await work.signing_keys.add(key)
            await work.signing_keys.retire_others(key.key_id, key.activate_time + ACCESS_TOKEN_LIFETIME + MARGIN)
            work.audit(AuditEntry(action="signing_key.rotated", subject=key.key_id))
            await work.commit()
        self._keys.forget()
        return key
