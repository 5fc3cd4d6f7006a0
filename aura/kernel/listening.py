"""The addresses that a process listens at."""

from __future__ import annotations

import errno
import resource
import socket

HIGHEST_PORT = 65535
MANY_FILES = 65536


class AddressInUse(Exception):
    """Something else listens at the address that the server is to have."""

    def __init__(self, *, host: str, port: int, setting: str = "AURA_PORT", by_topology: bool = False) -> None:
        other = f"{setting}={port + 1 if port < HIGHEST_PORT else port - 1}"
        choose = "give this process another one in the topology" if by_topology else f"choose another port: {other}"
        super().__init__(f"{host}:{port} is taken by another program; stop it, or {choose}")


class AddressNotHere(Exception):
    """The server is to have an address that this machine does not have."""

    def __init__(self, *, host: str, by_topology: bool) -> None:
        where = "this process in the topology" if by_topology else "AURA_HOST"
        super().__init__(f"this machine has no address {host}; give {where} one that it has")


def allow_many_connections() -> None:
    """Raises the number of files that this process may open, connections among them, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, MANY_FILES) if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def require_free(host: str, port: int, *, setting: str = "AURA_PORT", by_topology: bool = False) -> None:
    """Sees that nothing listens at an address.

    Raises:
        AddressInUse: Something does, or the port may not be opened.
        AddressNotHere: The address is none of this machine's.
    """
    listen(host, port, setting=setting, by_topology=by_topology).close()


def listen(host: str, port: int, *, setting: str = "AURA_PORT", by_topology: bool = False) -> socket.socket:
    """Returns a socket that is bound to an address.

    Raises:
        AddressInUse: Something listens there, or the port may not be opened.
        AddressNotHere: The address is none of this machine's.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise AddressNotHere(host=host, by_topology=by_topology) from None
        raise AddressInUse(host=host, port=port, setting=setting, by_topology=by_topology) from None
    return bound
