"""Ports for servers that are told where to listen, and for ports where nobody listens.

A port that the system has just given away may be given to another by the time that it is used: to a server, or to a
client's end of a connection. So these lie below those that Linux gives away by itself, and each worker of a run has a
stretch of its own.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

LOWEST, HIGHEST = 10_000, 32_000

_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_size = (HIGHEST - LOWEST) // _workers
_numbers = itertools.count(random.randrange(_size))  # another run on this machine begins elsewhere


def free_port() -> int:
    """Returns a port of this machine on which nobody listens, each time another one."""
    for _ in range(_size):
        port = LOWEST + _worker * _size + next(_numbers) % _size
        with socket.socket() as probe, suppress(OSError):  # it is taken
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port is taken")
