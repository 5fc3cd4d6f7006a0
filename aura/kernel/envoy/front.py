"""Where Envoy listens, and which certificates it shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aura.kernel.settings import Settings, SettingsError
from aura.kernel.topology import is_loopback


@dataclass(frozen=True, kw_only=True)
class Front:
    """Where Envoy listens, and which certificates it shows.

    Attributes:
        host: The address that it listens at.
        port: The port.
        own: What encrypts the connections to it; None for plain ones.
        client: The certificate and key by which Aura knows it, where Aura asks for one.
    """

    host: str
    port: int
    own: tuple[Path, Path] | None = None
    client: tuple[Path, Path] | None = None


def pair_of(
    certificate_name: str, certificate: Path | None, key_name: str, key: Path | None
) -> tuple[Path, Path] | None:
    """Returns a certificate and its key, as the command line names them; None if it names neither.

    Raises:
        SettingsError: It names one of them only, or a file that is not there.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError(f"{certificate_name} and {key_name} go together: give both, or none")
    for name, path in ((certificate_name, certificate), (key_name, key)):
        if not path.is_file():
            raise SettingsError(f"{name}: there is no file {path}")
    return certificate, key


def require_encryption(front: Front, settings: Settings) -> None:
    """Sees that nothing is in plain text where others reach it. Raises SettingsError."""
    if front.own is None and not is_loopback(front.host) and not settings.allow_plaintext:
        raise SettingsError(
            f"--host {front.host} is no loopback address, so others reach it: give --certificate and --key, or, behind "
            "a proxy of yours that encrypts, set AURA_ALLOW_PLAINTEXT=true"
        )
