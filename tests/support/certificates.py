"""Certificates for 127.0.0.1, made anew for each test."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aura.kernel.tls import TlsFiles

AN_HOUR = timedelta(hours=1)


def certificates(
    folder: Path,
    names: tuple[str, ...],
    *,
    authority: str = "ca",
    begins: timedelta = -AN_HOUR,
    ends: timedelta = AN_HOUR,
) -> None:
    """Writes an authority, and what it signed: `NAME.pem` and `NAME.key`, valid from and to some time from now."""
    now, key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, authority)])

    def signed(name: x509.Name, public_key: Any, begin: timedelta, end: timedelta, *extensions: Any) -> bytes:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public_key)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + begin).not_valid_after(now + end)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    root = x509.BasicConstraints(ca=True, path_length=None)
    (folder / f"{authority}.pem").write_bytes(signed(issuer, key.public_key(), -AN_HOUR, AN_HOUR, root))
    for name in names:
        own = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        (folder / f"{name}.pem").write_bytes(signed(subject, own.public_key(), begins, ends, place))
        (folder / f"{name}.key").write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


def files_of(folder: Path, name: str = "server", *, mutual: bool = False) -> TlsFiles:
    """The files of a server, as settings name them."""
    return TlsFiles(
        authority=folder / "ca.pem" if mutual else None,
        certificate=folder / f"{name}.pem",
        key=folder / f"{name}.key",
        mutual=mutual,
        by_settings=True,
    )


def credentials(folder: Path, name: str | None = None, *, authority: str = "ca") -> grpc.ChannelCredentials:
    """What a client trusts, and shows."""
    pair = ((folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes()) if name else ()
    return grpc.ssl_channel_credentials((folder / f"{authority}.pem").read_bytes(), *pair)
