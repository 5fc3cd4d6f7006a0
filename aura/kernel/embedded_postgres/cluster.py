import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aura.kernel.embedded_postgres.accounts import Account, is_root
from aura.kernel.embedded_postgres.binaries import MAJOR_VERSION, Binaries
from aura.kernel.embedded_postgres.errors import EmbeddedPostgresError
from aura.kernel.embedded_postgres.files import sync_directory
from aura.kernel.embedded_postgres.processes import Command, working_directory_name

UNFINISHED_PREFIX = "cluster.new-"


@dataclass(frozen=True, kw_only=True)
class Initialisation:
    """What making a new cluster takes; `lock` is inherited, so that an orphaned initdb is noticed."""

    binaries: Binaries
    account: Account
    password: str
    durable: bool
    lock: int


class Cluster:
    """PostgreSQL's data directory: `cluster` in the directory that Aura was given."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "cluster"

    def sweep(self) -> None:
        """Removes what a killed server left; only for the holder of the cluster's lock, when no process uses it."""
        for unfinished in self.path.parent.glob(f"{UNFINISHED_PREFIX}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        # PostgreSQL would believe in it if its pid were some other process's by now.
        (self.path / "postmaster.pid").unlink(missing_ok=True)

    def prepare(self, initialisation: Initialisation) -> None:
        """Makes the cluster if there is none, or checks that this PostgreSQL can use the one there is."""
        if not self.path.exists():
            self._initialise(initialisation)
            return
        self._check_version()
        if is_root() and self.path.stat().st_uid != initialisation.account.uid:
            _give(self.path, initialisation.account)

    def _check_version(self) -> None:
        try:
            version = (self.path / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"{self.path} is not a PostgreSQL data directory; move it away, "
                "or set AURA_DATA_DIR to another directory"
            ) from None
        if version != str(MAJOR_VERSION):
            raise EmbeddedPostgresError(
                f"{self.path} was made by PostgreSQL {version} and this is {MAJOR_VERSION}; dump it with the Aura "
                "that made it and move it away, or set AURA_DATA_DIR to another directory"
            )

    def _initialise(self, initialisation: Initialisation) -> None:
        unfinished = self.path.with_name(UNFINISHED_PREFIX + secrets.token_hex(4))
        unfinished.mkdir(mode=0o700)
        try:
            if is_root():
                _give(unfinished, initialisation.account)
            _run_initdb(unfinished, initialisation)
            unfinished.rename(self.path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        if initialisation.durable:
            sync_directory(self.path.parent)

    def postmaster_pid(self) -> int | None:
        """The pid in PostgreSQL's pid file, if there is one."""
        first = self._pid_file_line(0)
        return int(first) if first.isdigit() else None

    def postmaster_status(self) -> str:
        """What PostgreSQL says of itself: `starting`, `ready`, `stopping`, or nothing yet."""
        return self._pid_file_line(7)

    def _pid_file_line(self, index: int) -> str:
        lines: list[str] = []
        with suppress(FileNotFoundError):
            lines = (self.path / "postmaster.pid").read_text(errors="replace").splitlines()
        return lines[index].strip() if index < len(lines) else ""


def _run_initdb(directory: Path, initialisation: Initialisation) -> None:
    password = _readable_once(initialisation.password, initialisation.account)
    try:
        with tempfile.TemporaryFile() as output:
            command = Command(
                arguments=_initdb_arguments(directory, initialisation, password),
                directory=directory,
                account=initialisation.account,
                output=output.fileno(),
                inherited=(password, initialisation.lock),
            )
            status = command.run()
            output.seek(0)
            said = output.read().decode(errors="replace")
    finally:
        os.close(password)
    if status != 0:
        raise EmbeddedPostgresError(f"PostgreSQL could not make a database: {_reason(said)}; {_hint(directory)}")


def _readable_once(password: str, account: Account) -> int:
    """Puts the password into a pipe: unlike a file, nothing is left of it if this process is killed."""
    reader, writer = os.pipe()
    if is_root():
        os.fchown(reader, account.uid, account.gid)
    os.write(writer, f"{password}\n".encode())
    os.close(writer)
    return reader


def _initdb_arguments(directory: Path, initialisation: Initialisation, password: int) -> list[str]:
    return [
        str(initialisation.binaries.initdb),
        f"--pgdata={working_directory_name(directory)}",
        "--username=postgres",
        f"--pwfile=/dev/fd/{password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *([] if initialisation.durable else ["--no-sync"]),
    ]


def _reason(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line or "FATAL:" in line]
    return (errors or lines or ["it said nothing"])[0].removeprefix("initdb: error: ").strip()


def _hint(directory: Path) -> str:
    if is_root() and working_directory_name(directory) == str(directory):
        return "as root, set AURA_DATA_DIR to a directory below ones that everyone may enter"
    return "set AURA_DATA_DIR to another directory, or AURA_DATABASE_URL to a PostgreSQL that is already running"


def _give(tree: Path, account: Account) -> None:
    """Hands a tree over, its top last: whether that is done tells whether all is."""
    for directory, _, files in os.walk(tree, topdown=False):
        for path in (Path(directory), *(Path(directory, name) for name in files)):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
