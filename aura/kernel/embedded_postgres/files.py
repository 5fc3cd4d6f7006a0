import os
import stat
from pathlib import Path

from aura.kernel.embedded_postgres.accounts import is_root


def open_private(path: Path, flags: int) -> int:
    """Opens or creates a file of the data directory, readable by its owner only and never through a symbolic link."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if is_root():
        # What root creates in an ordinary user's directory must not lock that user out.
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def is_safe_to_share(directory: Path) -> bool:
    """Whether no other user can rename or remove what is put into a directory (as in any properly set up /tmp)."""
    mode = directory.stat().st_mode
    return not mode & (stat.S_IWOTH | stat.S_IWGRP) or bool(mode & stat.S_ISVTX)


def sync_directory(directory: Path) -> None:
    """Makes a rename inside the directory survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
