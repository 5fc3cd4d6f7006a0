import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self
from urllib.parse import quote

from aura.kernel.embedded_postgres.accounts import Account, choose_account, user_name
from aura.kernel.embedded_postgres.binaries import Binaries, binaries_for
from aura.kernel.embedded_postgres.cluster import Cluster, Initialisation
from aura.kernel.embedded_postgres.errors import EmbeddedPostgresError
from aura.kernel.embedded_postgres.locks import FileLock, OwnerLock
from aura.kernel.embedded_postgres.log import Log
from aura.kernel.embedded_postgres.orphans import stop_orphans
from aura.kernel.embedded_postgres.processes import Command, Postmaster, working_directory_name
from aura.kernel.embedded_postgres.settings import as_arguments, server_settings
from aura.kernel.embedded_postgres.socket_directory import (
    PORT,
    choose_socket_directory,
    create_socket_directory,
    remove_socket_directory,
)

POLL_SECONDS = 0.01
START_SECONDS = 60.0
RECOVERY_SECONDS = 600.0  # after a crash, PostgreSQL replays its log before it is ready


class EmbeddedPostgres:
    """A PostgreSQL whose life is this process's, with all its data in one directory and no network port.

    `password` is the superuser's, used when the data is first made; `durable=False` trades safety against power
    failure for speed; `settings` are PostgreSQL's own and win over ours. All methods block.
    """

    _ends_with_parent = True  # a test clears it to get the orphan that other systems than Linux leave behind

    def __init__(
        self,
        directory: Path,
        *,
        password: str,
        durable: bool = True,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if not password or set(password) & set("\r\n\0"):
            raise EmbeddedPostgresError("PostgreSQL's password must be one line of text; set another one")
        self._directory = directory.absolute()
        self._password = password
        self._durable = durable
        self._settings = dict(settings)
        self._cluster = Cluster(self._directory)
        self._log = Log(self._directory / "postgres.log")
        self._owner: OwnerLock | None = None
        self._account: Account | None = None
        self._binaries: Binaries | None = None
        self._socket_directory: Path | None = None
        self._postmaster: Postmaster | None = None

    def start(self) -> None:
        """Makes the database if there is none, starts it and waits until it answers; again, if it has crashed."""
        if self._postmaster and self._postmaster.is_running():
            return
        self.stop()
        try:
            with self._explained():
                self._start()
        except BaseException:
            self.stop(immediate=True)
            raise

    def stop(self, *, immediate: bool = False) -> None:
        """Stops it and waits; immediately means without a last checkpoint, so that the next start has to recover."""
        if self._postmaster:
            self._postmaster.stop(immediate=immediate)
            self._postmaster = None
        if self._socket_directory and self._account:
            remove_socket_directory(self._socket_directory, self._account)
            self._socket_directory = None
        if self._owner:
            self._owner.close()
            self._owner = None

    def revive(self) -> None:
        """Starts it again, at the same URL, if it has ended by itself; does nothing while it runs."""
        if not (self._postmaster and self._account and self._socket_directory) or self._postmaster.is_running():
            return
        self._postmaster.stop(immediate=True)
        with self._explained():
            remove_socket_directory(self._socket_directory, self._account)
            create_socket_directory(self._socket_directory, self._account)
            self._run(self._account)

    def url(self, database: str = "postgres") -> str:
        """The superuser's URL of a database, for asyncpg and SQLAlchemy; changes with every start."""
        if not self._socket_directory:
            raise EmbeddedPostgresError("PostgreSQL is not running; call start() first")
        user = f"postgres:{quote(self._password, safe='')}"
        address = f"host={quote(str(self._socket_directory), safe='/')}&port={PORT}"  # else PGPORT would win
        return f"postgresql://{user}@/{quote(database, safe='')}?{address}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._owner = OwnerLock(self._directory)
        self._account = choose_account(self._directory, self._cluster.path)
        self._open_socket_directory(self._owner, self._account)
        self._run(self._account)

    def _run(self, account: Account) -> None:
        # Found once: to try them as another user forks, which must not happen again once gRPC's threads run.
        binaries = self._binaries = self._binaries or binaries_for(account)
        # A lock of its own for the cluster's processes: it tells whether any of them has survived a killed owner.
        lock = FileLock(self._directory / "postgres.lock")
        try:
            stop_orphans(lock, self._cluster)
            self._cluster.sweep()
            self._cluster.prepare(self._initialisation(binaries, account, lock))
            self._postmaster = self._launch(binaries, account, lock)
        finally:
            lock.close()
        self._wait_until_ready(self._postmaster)

    def _initialisation(self, binaries: Binaries, account: Account, lock: FileLock) -> Initialisation:
        return Initialisation(
            binaries=binaries,
            account=account,
            password=self._password,
            durable=self._durable,
            lock=lock.descriptor,
        )

    def _open_socket_directory(self, owner: OwnerLock, account: Account) -> None:
        if owner.previous_socket_directory:
            remove_socket_directory(owner.previous_socket_directory, account)
        self._socket_directory = choose_socket_directory(account)
        owner.note(self._socket_directory)
        create_socket_directory(self._socket_directory, account)

    def _launch(self, binaries: Binaries, account: Account, lock: FileLock) -> Postmaster:
        assert self._socket_directory
        settings = server_settings(self._socket_directory, durable=self._durable) | self._settings
        with self._log.open() as output:
            return Postmaster(
                Command(
                    arguments=[
                        str(binaries.postgres),
                        "-D",
                        working_directory_name(self._cluster.path),
                        *as_arguments(settings),
                    ],
                    directory=self._cluster.path,
                    account=account,
                    output=output,
                    inherited=(lock.descriptor,),
                    ends_with_parent=self._ends_with_parent,
                )
            )

    def _wait_until_ready(self, postmaster: Postmaster) -> None:
        started = time.monotonic()
        while (status := self._status_of(postmaster)) != "ready":
            if not postmaster.is_running():
                raise EmbeddedPostgresError(
                    f"PostgreSQL did not start: {self._log.last_message()}; see {self._log.path}, "
                    "or set AURA_DATABASE_URL to a PostgreSQL that is already running"
                )
            if time.monotonic() - started > (RECOVERY_SECONDS if status == "starting" else START_SECONDS):
                raise EmbeddedPostgresError(
                    f"PostgreSQL was not ready in time: {self._log.last_message()}; see {self._log.path} and try again"
                )
            time.sleep(POLL_SECONDS)

    def _status_of(self, postmaster: Postmaster) -> str:
        return self._cluster.postmaster_status() if self._cluster.postmaster_pid() == postmaster.pid else ""

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{user_name(os.geteuid())} cannot run PostgreSQL in {self._directory}: {error.strerror}"
                f"{f' ({error.filename})' if error.filename else ''}; make it accessible, "
                "or set AURA_DATA_DIR to a directory of your own"
            ) from error
