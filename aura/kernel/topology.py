"""Which process hosts which modules, and where each process is reached."""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from aura.kernel.tls import TlsFiles

PROCESS_NAME = r"^[a-z][a-z0-9-]{0,62}$"
SINGLE_PROCESS = "aura"
LOCALHOST = ("127.0.0.1", "::1")
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 it is refused
FURTHEST_PORT = 65535


class TopologyError(Exception):
    """Lists what is wrong with a topology, one line each, with the fix."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process of the platform: what it hosts, and the host and ports at which it serves gRPC and HTTP, if it does."""

    name: str
    modules: tuple[str, ...]
    host: str
    port: int
    http_port: int | None = None

    @property
    def address(self) -> str:
        """Host and port as gRPC takes them, as `127.0.0.1:50051` or `[::1]:50051`."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The processes by their names, and how the calls between them are encrypted, if they are."""

    processes: Mapping[str, Process]
    tls: TlsFiles | None = None
    _hosts: Mapping[str, Process] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hosts = {module: process for process in self.processes.values() for module in process.modules}
        object.__setattr__(self, "_hosts", MappingProxyType(hosts))

    @classmethod
    def single(
        cls,
        modules: Iterable[str],
        *,
        host: str,
        port: int,
        http_port: int | None = None,
        tls: TlsFiles | None = None,
    ) -> Topology:
        """Returns the topology with everything in one process."""
        process = Process(name=SINGLE_PROCESS, modules=tuple(modules), host=host, port=port, http_port=http_port)
        return cls(processes={SINGLE_PROCESS: process}, tls=tls)

    def listening(self, name: str, port: int) -> Topology:
        """Returns the topology with the port that a process got when it asked for any."""
        process = replace(self.processes[name], port=port)
        return Topology(processes={**self.processes, name: process}, tls=self.tls)

    def host_of(self, module: str) -> Process:
        """Returns the process that hosts a module."""
        return self._hosts[module]

    def process(self, name: str | None) -> Process:
        """Returns a process by its name; None stands for the only one.

        Raises:
            TopologyError: There is none, or several to choose from.
        """
        names = ", ".join(self.processes)
        if name is None and len(self.processes) > 1:
            raise TopologyError(f"say which process of the topology this is: --process NAME, or AURA_PROCESS; {names}")
        if name is None:
            return next(iter(self.processes.values()))
        if name not in self.processes:
            raise TopologyError(f"the topology has no process {name}; it has {names}")
        return self.processes[name]


def read_topology(path: Path, modules: Iterable[str], *, allow_plaintext: bool = False) -> Topology:
    """Returns the topology that a TOML file describes.

    Args:
        path: The file. Paths in it are relative to its folder.
        modules: All modules of the platform, each of which must have its place.
        allow_plaintext: Whether addresses that others reach may be served without encryption.

    Raises:
        TopologyError: The file cannot be read, or a module, an address or a file in it is wrong.
    """
    try:
        document = _Document.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TopologyError(f"cannot read the topology {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TopologyError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        problems = [_describe(problem["loc"], problem["msg"], problem["type"]) for problem in error.errors()]
        raise TopologyError("\n".join(f"{path}: {problem}" for problem in problems)) from None
    topology = document.topology(path.parent)
    found = [*_misplaced_modules(topology, list(modules)), *_clashes(topology), *_unreadable_files(topology)]
    if not allow_plaintext:
        found += _plain_addresses(topology)
    if found:
        raise TopologyError("\n".join(f"{path}: {problem}" for problem in found))
    return topology


def _checked_address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= FURTHEST_PORT:
        raise ValueError(f"must be HOST:PORT, as 127.0.0.1:50051, and not {address!r}")
    if host.strip("[]") in EVERY_ADDRESS:
        raise ValueError(f"must be an address that the other processes reach, and not {host}, which stands for all")
    return address


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_Name = Annotated[str, StringConstraints(pattern=PROCESS_NAME)]
_Address = Annotated[str, AfterValidator(_checked_address)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _ProcessEntry(_Entry):
    modules: list[str]
    address: _Address
    http_port: int | None = Field(None, ge=1, le=FURTHEST_PORT)


class _TlsEntry(_Entry):
    authority: str
    certificate: str
    key: str
    mutual: bool = True


class _Document(_Entry):
    processes: dict[_Name, _ProcessEntry] = Field(min_length=1)
    tls: _TlsEntry | None = None

    def topology(self, folder: Path) -> Topology:
        processes = {name: _process(name, entry) for name, entry in self.processes.items()}
        return Topology(processes=processes, tls=_tls(self.tls, folder) if self.tls else None)


def _process(name: str, entry: _ProcessEntry) -> Process:
    host, _, port = entry.address.rpartition(":")
    return Process(
        name=name,
        modules=tuple(entry.modules),
        host=host.strip("[]"),
        port=int(port),
        http_port=entry.http_port,
    )


def _tls(entry: _TlsEntry, folder: Path) -> TlsFiles:
    return TlsFiles(
        authority=folder / entry.authority,
        certificate=folder / entry.certificate,
        key=folder / entry.key,
        mutual=entry.mutual,
    )


def _misplaced_modules(topology: Topology, modules: list[str]) -> Iterator[str]:
    places: dict[str, str] = {}
    for process in topology.processes.values():
        for module in process.modules:
            if module not in modules:
                yield f"process {process.name} hosts {module}, which is no module; {_suggestion(module, modules)}"
            elif module in places:
                yield (
                    f"module {module} is hosted twice, by {places[module]} and by {process.name}; "
                    "take it out of one of them"
                )
            places.setdefault(module, process.name)
    for module in modules:
        if module not in places:
            yield f"module {module} is hosted nowhere; add it to the modules of a process"


def _suggestion(module: str, modules: list[str]) -> str:
    alike = difflib.get_close_matches(module, modules, n=1)
    return f"did you mean {alike[0]}?" if alike else f"there are {', '.join(modules)}"


def _clashes(topology: Topology) -> Iterator[str]:
    owners: dict[tuple[str, int], str] = {}
    for process in topology.processes.values():
        hosts = LOCALHOST if process.host == "localhost" else (_canonical(process.host),)
        ports = {port for port in (process.port, process.http_port) if port}
        others = {owners.setdefault((host, port), process.name) for host in hosts for port in ports}
        for owner in others - {process.name}:
            yield f"processes {owner} and {process.name} share the address {process.address}; give each its own"
        if process.http_port == process.port:
            yield f"process {process.name} has one port for gRPC and HTTP; give each its own"


def _canonical(host: str) -> str:
    """Returns an address in its one form, and a name as it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


def _plain_addresses(topology: Topology) -> Iterator[str]:
    for process in topology.processes.values():
        if is_loopback(process.host):
            continue
        if topology.tls is None:
            yield (
                f"process {process.name} would serve without encryption at {process.address}, which others reach: "
                "add [tls], use a loopback address, or set AURA_ALLOW_PLAINTEXT=true"
            )


def _unreadable_files(topology: Topology) -> Iterator[str]:
    if topology.tls is None:
        return
    names = {topology.tls.trusted: "authority"}
    for process in topology.processes:
        files = topology.tls.of(process)
        names |= {files.certificate: "certificate", files.key: "key"}
    for path, name in names.items():
        if not path.is_file():
            yield f"tls.{name}: there is no file {path}"


def _describe(location: tuple[int | str, ...], message: str, kind: str) -> str:
    where = ".".join(map(str, location)).removesuffix(".[key]")
    if kind == "extra_forbidden":
        return f"{where} is not known here; remove it"
    if kind == "missing":
        return f"{where} is missing; {_MISSING.get(str(location[-1]), 'add it')}"
    if kind == "string_pattern_mismatch":
        return f"{where}: a process's name is of lower-case letters, digits and hyphens, and begins with a letter"
    return f"{where}: {message.removeprefix('Value error, ')}"


_MISSING: Mapping[str, Any] = {
    "processes": 'describe at least one process: [processes.NAME] with modules = ["…"] and address = "HOST:PORT"',
    "modules": 'say what it hosts: modules = ["…"]',
    "address": 'say where it serves: address = "127.0.0.1:50051"',
}
