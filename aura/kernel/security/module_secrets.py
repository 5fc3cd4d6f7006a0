"""The secrets of one module: it cannot derive those of others, nor the platform's own."""

from __future__ import annotations

from aura.kernel.security.keys import KeyRing
from aura.kernel.security.sealing import Sealer


class ModuleSecrets:
    """Derives a module's keys from the platform's secret key, one for each purpose."""

    def __init__(self, keys: KeyRing, *, module: str) -> None:
        self._keys = keys
        self._module = module
        self._sealers: dict[str, Sealer] = {}

    def key(self, purpose: str) -> bytes:
        """Returns 32 bytes that only this platform, module and purpose give."""
        return self._keys.key(f"module/{self._module}/{purpose}")

    def sealer(self, purpose: str) -> Sealer:
        """Returns what seals data for a purpose; made once."""
        sealer = self._sealers.get(purpose)
        if sealer is None:
            sealer = self._sealers[purpose] = Sealer(self.key(purpose))
        return sealer
