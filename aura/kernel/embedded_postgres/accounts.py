import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from aura.kernel.embedded_postgres.errors import EmbeddedPostgresError


@dataclass(frozen=True, kw_only=True)
class Account:
    """The user and group that PostgreSQL runs as."""

    uid: int
    gid: int

    def can_traverse(self, directory: Path) -> bool:
        """Whether the mode bits of a directory and of all above it let this account through."""
        return all(self._can_enter(each) for each in (directory, *directory.parents))

    def _can_enter(self, directory: Path) -> bool:
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid == self.gid else 0o001))


def is_root() -> bool:
    """Whether this process is root, as which PostgreSQL refuses to run."""
    return os.geteuid() == 0


def choose_account(directory: Path, cluster: Path) -> Account:
    """Chooses whom PostgreSQL runs as: this user; for root, whoever owns the data, else `nobody`."""
    if not is_root():
        return _own_account(cluster)
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    if (owner := directory.stat()).st_uid != 0 and _has_entry(owner.st_uid):
        return Account(uid=owner.st_uid, gid=owner.st_gid)
    return _nobody()


def _own_account(cluster: Path) -> Account:
    uid = os.geteuid()
    if cluster.exists() and (owner := cluster.stat().st_uid) != uid:
        raise EmbeddedPostgresError(
            f"{cluster} belongs to {user_name(owner)}, not to {user_name(uid)}; start Aura as the user who made it, "
            "or set AURA_DATA_DIR to a directory of your own"
        )
    if not cluster.exists() and not _has_entry(uid):
        raise EmbeddedPostgresError(
            f"{user_name(uid)} has no entry in /etc/passwd, which PostgreSQL needs to make a database; add one, "
            "or set AURA_DATABASE_URL to a PostgreSQL that is already running"
        )
    return Account(uid=uid, gid=os.getegid())


def _nobody() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root and there is no user `nobody` to run it as; start Aura as another user, "
            "or set AURA_DATABASE_URL to a PostgreSQL that is already running"
        ) from None
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


def _has_entry(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def user_name(uid: int) -> str:
    """How a message calls a user."""
    return f"user {pwd.getpwuid(uid).pw_name}" if _has_entry(uid) else f"user id {uid}"
