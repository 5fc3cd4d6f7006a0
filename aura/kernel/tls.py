"""Encryption: the certificates that a process shows, and whom it trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

CERTIFICATE, KEY, CLIENT_AUTHORITY = (
    "AURA_TLS_CERTIFICATE_FILE",
    "AURA_TLS_PRIVATE_KEY_FILE",
    "AURA_TLS_CLIENT_AUTHORITY_FILE",
)

log = structlog.get_logger()


class TlsError(Exception):
    """Says which file cannot be used for encryption, and what to do."""


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """The PEM files that encrypt the calls to a process.

    Attributes:
        authority: The certificate that has signed those of callers, and, in a topology, those of all processes.
        certificate: A process's own certificate, with those between it and its authority, for its host; `{process}` in
            the path stands for the process's name.
        key: The key of that certificate; likewise.
        mutual: Whether callers must show a certificate too.
        by_settings: Whether the settings name the files, and not a topology: calls are from outside, or the process's
            own command line's, which trusts the very certificate that it finds there.
    """

    authority: Path | None
    certificate: Path
    key: Path
    mutual: bool
    by_settings: bool = False

    def of(self, process: str) -> TlsFiles:
        """Returns the files of one process."""
        certificate, key = (Path(str(path).replace("{process}", process)) for path in (self.certificate, self.key))
        return TlsFiles(
            authority=self.authority,
            certificate=certificate,
            key=key,
            mutual=self.mutual,
            by_settings=self.by_settings,
        )

    @property
    def trusted(self) -> Path:
        """The certificate by which this process is known to whom it serves."""
        return self.certificate if self.by_settings or self.authority is None else self.authority

    @property
    def stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What changes when one of the files does."""
        return tuple(_stamp(path) for path in (self.certificate, self.key, self.authority) if path is not None)

    def checked(self) -> tuple[bytes, bytes, bytes | None]:
        """Returns what is in the files: the key, the certificate and the authority, if there is one.

        Raises:
            TlsError: A file cannot be read, is not what it should be, or does not go with the others.
        """
        certificate_name, key_name, authority_name = self._names()
        certificate, key = _read(certificate_name, self.certificate), _read(key_name, self.key)
        leaf = _valid_certificate(certificate_name, self.certificate, certificate)
        if _private_key(key_name, self.key, key).public_key() != leaf.public_key():
            raise TlsError(
                f"{key_name}: {self.key} is not the key of {self.certificate}; name the key that it was made for"
            )
        if self.authority is None:
            return key, certificate, None
        authority = _read(authority_name, self.authority)
        _valid_certificate(authority_name, self.authority, authority)
        return key, certificate, authority

    def _names(self) -> tuple[str, str, str]:
        """Returns what the operator calls the certificate, the key and the authority."""
        return (
            (CERTIFICATE, KEY, CLIENT_AUTHORITY)
            if self.by_settings
            else ("tls.certificate", "tls.key", "tls.authority")
        )


class ServerCertificates:
    """What a server shows, and whom it lets in: read anew when the files change, for the connections from then on.

    Raises:
        TlsError: A file cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamps = files.stamps
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Returns what the server's port is made with."""
        return grpc.dynamic_ssl_server_credentials(
            self._first, self._renewed, require_client_authentication=self._files.mutual
        )

    def _renewed(self) -> Any:
        """Returns what is new, or None; gRPC asks before each handshake, in a thread of its own."""
        stamps = self._files.stamps
        if stamps == self._stamps:
            return None
        self._stamps = stamps
        try:
            renewed = self._read()
        except TlsError as error:
            log.error("changed certificates cannot be used; the old ones stay", problem=str(error))  # noqa: TRY400
            return None
        log.info("certificates were renewed", certificate=str(self._files.certificate))
        return renewed

    def _read(self) -> Any:
        key, certificate, authority = self._files.checked()
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)], authority if self._files.mutual else None
        )


class HttpCertificates:
    """The same for HTTP.

    Raises:
        TlsError: A file cannot be used.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamps = files.stamps
        self._newest = self._read()

    def context(self) -> ssl.SSLContext:
        """Returns what the port is made with."""
        first = self._newest
        first.sni_callback = self._choose
        return first

    def _choose(self, connection: Any, _: object, __: object) -> None:
        """Has a new connection see what is in the files now; called at each handshake."""
        stamps = self._files.stamps
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._newest = self._read()
            except TlsError as error:
                log.error("changed certificates cannot be used; the old ones stay", problem=str(error))  # noqa: TRY400
            else:
                log.info("certificates were renewed", certificate=str(self._files.certificate))
        connection.context = self._newest

    def _read(self) -> ssl.SSLContext:
        self._files.checked()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._files.certificate, self._files.key)
            if self._files.mutual:
                context.load_verify_locations(self._files.authority)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(f"{self._files.certificate} cannot be used: {error}") from error
        if self._files.mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            # A resumed session would let in whom an authority signed that has been replaced since.
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.options |= ssl.OP_NO_TICKET
            context.num_tickets = 0
        return context


def client_channel(address: str, tls: TlsFiles | None, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
    """Returns a channel to a process of the platform; it trusts, and shows, what is in the files now.

    Raises:
        TlsError: A file cannot be used.
    """
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    key, certificate, _ = tls.checked()
    own = (key, certificate) if tls.mutual else (None, None)
    if tls.by_settings:
        options = [*options, ("grpc.ssl_target_name_override", _name_in(certificate))]
    credentials = grpc.ssl_channel_credentials(tls.trusted.read_bytes(), *own)
    return grpc.aio.secure_channel(address, credentials, options=options)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise TlsError(f"{name}: there is no file {path}; put it there, or name another one") from None
    except OSError as error:
        raise TlsError(
            f"{name}: cannot read {path}: {error.strerror}; let the user that the server runs as read it"
        ) from None


def _valid_certificate(name: str, path: Path, data: bytes) -> x509.Certificate:
    """Returns the first certificate of a file, which is the one that the others lead from."""
    try:
        certificate = x509.load_pem_x509_certificates(data)[0]
    except ValueError:
        raise TlsError(f"{name}: {path} is no certificate in PEM form, which begins with -----BEGIN") from None
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc <= now:
        raise TlsError(f"{name}: {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it")
    if certificate.not_valid_before_utc > now:
        raise TlsError(
            f"{name}: {path} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; wait, or set "
            "this machine's clock"
        )
    return certificate


def _private_key(name: str, path: Path, data: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(data, None)
    except TypeError:
        raise TlsError(f"{name}: {path} is encrypted; write it in plain: openssl pkey -in {path} -out FILE") from None
    except ValueError:
        raise TlsError(f"{name}: {path} is no private key in PEM form, which begins with -----BEGIN") from None


def _name_in(certificate: bytes) -> str:
    """Returns a name that a certificate is for."""
    leaf = x509.load_pem_x509_certificates(certificate)[0]
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "localhost"
    hosts = names.get_values_for_type(x509.DNSName) or [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    return hosts[0].replace("*", "any") if hosts else "localhost"
