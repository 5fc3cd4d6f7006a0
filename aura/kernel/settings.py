"""Settings, read from the environment: every one is a variable `AURA_…`."""

from __future__ import annotations

import difflib
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from aura.kernel.account_settings import AccountSettings
from aura.kernel.database import DatabaseLimits
from aura.kernel.events.relay_settings import RelaySettings
from aura.kernel.network_server import NetworkLimits
from aura.kernel.security.sources import Network, networks_in
from aura.kernel.tls import TlsFiles
from aura.kernel.topology import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "AURA_"
SECONDS_A_DAY = 24 * 3600


ORIGIN = re.compile(r"https?://[^/\s?#@]+|\*")


class Environment(StrEnum):
    """Where the server runs."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class SettingsError(Exception):
    """Lists what is wrong with the settings, one line each, with the fix."""


class Settings(BaseSettings):
    """What an operator may choose. Secrets are never printed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Environment = Field(
        Environment.DEVELOPMENT, description="development, test or production; production forbids all stand-ins"
    )
    host: str = Field(
        "127.0.0.1", min_length=1, description="address to serve at; one that others reach needs encryption"
    )
    port: int = Field(50051, ge=0, le=65535, description="port to serve gRPC on; 0 takes a free one")
    http_port: int | None = Field(
        8080, ge=0, le=65535, description="port to serve REST, /docs and /metrics on; 0 takes a free one; none: no HTTP"
    )
    serve_docs: bool = Field(
        True,  # noqa: FBT003 pydantic's
        description="whether HTTP shows the interface: /docs for a browser, /openapi.json for programs",
    )
    cors_origins: str | None = Field(
        None,
        description="origins whose pages may call over HTTP, as https://a.example.org,https://b.example.org; * is all",
    )
    trusted_proxies: str | None = Field(
        None,
        description="networks of proxies that are believed whom they call for (x-forwarded-for), as 10.0.0.0/8,::1",
    )
    tls_certificate_file: Path | None = Field(
        None, description="certificate to encrypt gRPC and HTTP with, and those that lead to its authority (PEM)"
    )
    tls_private_key_file: Path | None = Field(None, description="key of that certificate (PEM, not encrypted)")
    tls_client_authority_file: Path | None = Field(
        None, description="certificate that has signed those of all clients; without one of them, none gets in (PEM)"
    )
    allow_plaintext: bool = Field(
        False,  # noqa: FBT003 pydantic's
        description="whether addresses that others reach may be served without encryption: behind a proxy of yours",
    )
    topology_file: Path | None = Field(
        None, description="which process hosts which modules, and where each serves (TOML); none: all in one process"
    )
    process: str | None = Field(None, description="which process of the topology this is")
    data_dir: Path = Field(Path(".aura"), description="folder for the embedded database and the development secret key")
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL to use, as postgresql://user:password@host:5432/aura; none: an embedded one"
    )
    database_admin_url: SecretStr | None = Field(
        None, description="connection that migrates: may create roles and schemas; default: AURA_DATABASE_URL"
    )
    secret_key_file: Path | None = Field(
        None, description="file with the secret that all keys derive from; development makes one in AURA_DATA_DIR"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe level to log")
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="console for people, json for machines; auto: console in development, else json"
    )
    drain_seconds: float = Field(10.0, ge=0, le=3600, description="time that running calls get at stop, in seconds")
    database_pool_size: int = Field(6, ge=1, le=100, description="connections to the database that each module keeps")
    database_pool_overflow: int = Field(0, ge=0, le=100, description="connections that a module opens on top when busy")
    database_pool_timeout_seconds: float = Field(
        5.0, gt=0, le=300, description="time that a call waits for a connection; then RESOURCE_EXHAUSTED"
    )
    statement_timeout_seconds: float = Field(
        15.0, gt=0, le=3600, description="time that the database works on a statement; then DEADLINE_EXCEEDED"
    )
    lock_timeout_seconds: float = Field(
        5.0, gt=0, le=3600, description="time that a statement waits for a lock; then ABORTED"
    )
    maximum_concurrent_calls: int = Field(
        256, ge=1, le=100_000, description="calls from outside that are served at a time; more get RESOURCE_EXHAUSTED"
    )
    event_lease_seconds: float = Field(
        30.0, gt=1, le=3600, description="time after which others take over what a killed process was delivering"
    )
    event_handler_seconds: float = Field(
        10.0, gt=0, le=600, description="time that a subscriber may take for an event; shorter than the lease"
    )
    event_attempts: int = Field(10, ge=1, le=1000, description="failures after which an event becomes a dead letter")
    event_first_pause_seconds: float = Field(
        0.2, gt=0, le=60, description="pause after the first failure of an event; it doubles up to one minute"
    )
    event_retention_days: float = Field(7.0, ge=0, le=3650, description="days that events are kept once delivered")
    public_url: str = Field(
        "http://localhost:8080",
        pattern=r"^https?://[^\s]+[^/\s]$",
        description="where people find the product; links in mails begin with it",
    )
    smtp_url: SecretStr | None = Field(
        None, description="mail server, as smtps://user:password@host:465; none: mails are shown where the server runs"
    )
    mail_from: str = Field("Aura <no-reply@localhost>", min_length=3, description="sender of mails")
    password_memory_kib: int = Field(
        47_104, ge=8_192, le=4_194_304, description="memory that each hash of a password takes, in KiB (argon2id)"
    )
    password_passes: int = Field(1, ge=1, le=100, description="how often a hash goes through that memory")
    maximum_message_bytes: int = Field(
        4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="largest message accepted from others, in bytes"
    )
    maximum_metadata_bytes: int = Field(
        16 * 1024, ge=8 * 1024, le=1024 * 1024, description="most metadata that a call may come with, in bytes"
    )
    rate_limit_per_peer: float = Field(
        1000.0, ge=0, le=1e6, description="calls a second from a network address, twice as many at once; 0: no limit"
    )
    rate_limit_per_account: float = Field(
        200.0, ge=0, le=1e6, description="calls a second by an account, twice as many at once; 0: no limit"
    )
    maximum_connections: int = Field(
        10_000, ge=1, le=1_000_000, description="connections that are open at a time; more are closed at once"
    )
    maximum_streams_per_connection: int = Field(
        256, ge=1, le=100_000, description="calls that a connection has under way; the client keeps back any more"
    )
    handshake_seconds: float = Field(
        10.0, gt=0, le=300, description="time that a connection has until it speaks gRPC, in seconds"
    )
    request_seconds: float = Field(
        20.0, gt=0, le=3600, description="time that the request of a unary call has to arrive; then DEADLINE_EXCEEDED"
    )
    connection_idle_seconds: float = Field(
        300.0, gt=0, le=86_400, description="time without a call after which a connection is closed, in seconds"
    )
    connection_age_seconds: float = Field(
        3600.0, gt=0, le=604_800, description="age at which a connection's client is told to make another, in seconds"
    )

    @field_validator("database_url", "database_admin_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        if url is not None and not _is_url(url.get_secret_value()):
            raise ValueError(
                "must have the form postgresql://user:password@host:5432/aura, with special characters in the "
                "password written as %XX"
            )
        return url

    @field_validator("http_port", mode="before")
    @classmethod
    def _may_be_none(cls, port: object) -> object:
        return None if port == "none" else port

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: str | None) -> str | None:
        for origin in _listed(origins):
            if not ORIGIN.fullmatch(origin):
                raise ValueError("must list origins with commas between them, as https://app.example.org, or be *")
        return origins

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: str | None) -> str | None:
        try:
            networks_in(proxies or "")
        except ValueError:
            raise ValueError("must list networks with commas between them, as 10.0.0.0/8,::1") from None
        return proxies

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("smtps://", "smtp://", "smtp+plain://")):
            raise ValueError("must begin with smtps://, smtp:// (STARTTLS) or smtp+plain:// (not encrypted)")
        return url

    @model_validator(mode="after")
    def _production_has_no_stand_ins(self) -> Settings:
        if self.environment is Environment.PRODUCTION:
            if self.database_url is None:
                raise ValueError(
                    "AURA_DATABASE_URL is required in production; the embedded database is for development"
                )
            if self.secret_key_file is None:
                raise ValueError("AURA_SECRET_KEY_FILE is required in production")
            if self.smtp_url is None:
                raise ValueError("AURA_SMTP_URL is required in production; showing mails is for development")
        return self

    @model_validator(mode="after")
    def _topology_gives_the_address(self) -> Settings:
        if self.topology_file is None and self.process is not None:
            raise ValueError("AURA_PROCESS names a process of a topology: set AURA_TOPOLOGY_FILE, or --topology, too")
        given = sorted({"host", "port", "http_port"} & self.model_fields_set)
        if self.topology_file is not None and given:
            names = " and ".join(f"{PREFIX}{name.upper()}" for name in given)
            raise ValueError(f"the topology says where each process serves: unset {names}")
        return self

    @model_validator(mode="after")
    def _certificates_are_complete(self) -> Settings:
        if (self.tls_certificate_file is None) != (self.tls_private_key_file is None):
            raise ValueError("AURA_TLS_CERTIFICATE_FILE and AURA_TLS_PRIVATE_KEY_FILE go together: set both, or none")
        if self.tls_client_authority_file is not None and self.tls_certificate_file is None:
            raise ValueError(
                "AURA_TLS_CLIENT_AUTHORITY_FILE needs encryption: set AURA_TLS_CERTIFICATE_FILE and "
                "AURA_TLS_PRIVATE_KEY_FILE too"
            )
        if self.tls_certificate_file is not None and self.topology_file is not None:
            raise ValueError("a topology names its certificates itself, in [tls]: unset AURA_TLS_CERTIFICATE_FILE")
        return self

    @model_validator(mode="after")
    def _others_reach_nothing_in_plain_text(self) -> Settings:
        if self.allow_plaintext or is_loopback(self.host):
            return self
        if self.tls_certificate_file is None:
            raise ValueError(
                f"AURA_HOST={self.host} is no loopback address, as 127.0.0.1 is, so others reach it: set "
                "AURA_TLS_CERTIFICATE_FILE and AURA_TLS_PRIVATE_KEY_FILE, or, behind a proxy of yours that encrypts, "
                "AURA_ALLOW_PLAINTEXT=true"
            )
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Settings:
        if self.http_port and self.http_port == self.port:
            raise ValueError("AURA_HTTP_PORT must differ from AURA_PORT")
        return self

    @model_validator(mode="after")
    def _handlers_end_before_their_lease(self) -> Settings:
        if self.event_handler_seconds >= self.event_lease_seconds:
            raise ValueError("AURA_EVENT_HANDLER_SECONDS must be less than AURA_EVENT_LEASE_SECONDS")
        return self

    @property
    def relay_settings(self) -> RelaySettings:
        """How events are delivered."""
        return RelaySettings(
            lease=self.event_lease_seconds,
            handler_timeout=self.event_handler_seconds,
            attempts=self.event_attempts,
            first_pause=self.event_first_pause_seconds,
            retention=self.event_retention_days * SECONDS_A_DAY,
        )

    @property
    def account_settings(self) -> AccountSettings:
        """How accounts are dealt with."""
        return AccountSettings(
            in_development=self.environment is Environment.DEVELOPMENT,
            public_url=self.public_url,
            smtp_url=self.smtp_url.get_secret_value() if self.smtp_url else None,
            mail_from=self.mail_from,
            password_memory_kib=self.password_memory_kib,
            password_passes=self.password_passes,
        )

    @property
    def origins(self) -> list[str]:
        """The origins whose pages may call over HTTP."""
        return _listed(self.cors_origins)

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of proxies that are believed whom they call for."""
        return networks_in(self.trusted_proxies or "")

    @property
    def secret_key_path(self) -> Path:
        """The file that holds the secret key."""
        return self.secret_key_file or self.data_dir / "secret.key"

    @property
    def database_limits(self) -> DatabaseLimits:
        """How much each module may ask of the database."""
        return DatabaseLimits(
            pool_size=self.database_pool_size,
            pool_overflow=self.database_pool_overflow,
            pool_timeout=self.database_pool_timeout_seconds,
            statement_timeout=self.statement_timeout_seconds,
            lock_timeout=self.lock_timeout_seconds,
        )

    @property
    def tls(self) -> TlsFiles | None:
        """What encrypts the calls to the one process that there is without a topology."""
        if self.tls_certificate_file is None or self.tls_private_key_file is None:
            return None
        return TlsFiles(
            authority=self.tls_client_authority_file,
            certificate=self.tls_certificate_file,
            key=self.tls_private_key_file,
            mutual=self.tls_client_authority_file is not None,
            by_settings=True,
        )

    @property
    def network_limits(self) -> NetworkLimits:
        """What the network may take of this process."""
        return NetworkLimits(
            connections=self.maximum_connections,
            streams=self.maximum_streams_per_connection,
            metadata_bytes=self.maximum_metadata_bytes,
            message_bytes=self.maximum_message_bytes,
            handshake_seconds=self.handshake_seconds,
            request_seconds=self.request_seconds,
            idle_seconds=self.connection_idle_seconds,
            age_seconds=self.connection_age_seconds,
        )

    @property
    def in_production(self) -> bool:
        """Whether this server holds real data."""
        return self.environment is Environment.PRODUCTION


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Returns the settings that the process's environment gives.

    Raises:
        SettingsError: A value is wrong, or a variable's name is no setting's.
    """
    names = {f"{PREFIX}{name}".upper(): name for name in Settings.model_fields}
    problems = [_unknown(name, names) for name in environment if name.startswith(PREFIX) and name.upper() not in names]
    given: dict[str, Any] = {names[name.upper()]: value for name, value in environment.items() if name.upper() in names}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        problems += [_describe(problem["loc"], problem["msg"]) for problem in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _is_url(text: str) -> bool:
    """Returns whether a URL can be read, and no part of its password would be taken for its host, which is shown."""
    try:
        return "@" not in (make_url(text).host or "")
    except (ArgumentError, ValueError):
        return False


def _unknown(name: str, names: Iterable[str]) -> str:
    alike = difflib.get_close_matches(name, names, n=1)
    return f"{name} is not a setting; {f'did you mean {alike[0]}?' if alike else 'unset it'}"


def _describe(location: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{PREFIX}{str(location[0]).upper()}: {message}" if location else message
