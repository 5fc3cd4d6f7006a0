"""Becomes PostgreSQL: gives up root, ties its life to its parent's, then executes the program it was given.

Run as a script, by path, in a fresh interpreter: nothing of this may happen in a preexec_fn, because the server that
starts PostgreSQL has threads, whose locks a forked child would inherit locked.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def become(uid: int, gid: int) -> None:
    """Gives up root for good, if this is root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def end_with(parent: int) -> None:
    """Asks the kernel for a SIGINT (PostgreSQL's fast shutdown) when the parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that started PostgreSQL has ended")


def main(parent: str, uid: str, gid: str, *command: str) -> None:
    """Executes the command; its arguments come from `processes.spawn`."""
    os.umask(0o077)
    try:
        become(int(uid), int(gid))
        if int(parent):
            end_with(int(parent))
        os.execv(command[0], command)  # noqa: S606 -- no shell is wanted
    except OSError as error:
        sys.exit(f"cannot execute {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
