import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from aura.kernel.embedded_postgres.accounts import Account, is_root
from aura.kernel.embedded_postgres.errors import EmbeddedPostgresError
from aura.kernel.embedded_postgres.files import is_safe_to_share

PREFIX = "aura-pg-"
PORT = 5432  # only names the socket: nothing listens on a network port
SOCKET_NAME = f".s.PGSQL.{PORT}"
LONGEST_SOCKET_PATH = 103  # sun_path holds 104 bytes on macOS, 108 on Linux, with the final zero


def choose_socket_directory(account: Account) -> Path:
    """Chooses an unguessable name with a short path; the data directory's own path may be too long for a socket."""
    name = PREFIX + secrets.token_hex(8)
    for base in _bases():
        if len(os.fsencode(base / name / SOCKET_NAME)) <= LONGEST_SOCKET_PATH and _is_usable(base, account):
            return base / name
    raise EmbeddedPostgresError(
        "found no directory for PostgreSQL's socket; make /tmp writable for everyone with mode 1777, "
        "or set TMPDIR to a directory with a short path"
    )


def _bases() -> list[Path]:
    own = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    runtime = [own] if own.is_absolute() and not is_root() else []
    return [*runtime, Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 -- see is_safe_to_share


def _is_usable(base: Path, account: Account) -> bool:
    if not base.is_dir() or not os.access(base, os.W_OK | os.X_OK) or not is_safe_to_share(base):
        return False
    return not is_root() or account.can_traverse(base)


def create_socket_directory(directory: Path, account: Account) -> None:
    """Makes the directory, for the account alone; fails if the name exists, so nobody can have made it before."""
    directory.mkdir(mode=0o700)
    if is_root():
        os.chown(directory, account.uid, account.gid)


def remove_socket_directory(directory: Path, account: Account) -> None:
    """Removes the directory and its socket if it is one of ours; the path may come from a file."""
    with suppress(OSError):
        status = directory.lstat()
        if not directory.name.startswith(PREFIX) or not stat.S_ISDIR(status.st_mode) or status.st_uid != account.uid:
            return
        for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
            (directory / name).unlink(missing_ok=True)
        directory.rmdir()
