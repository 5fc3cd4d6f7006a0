"""The addresses that a process listens at."""

from __future__ import annotations

import socket

HIGHEST_PORT = 65535


class AddressInUse(Exception):
    """Something else listens at the address that the server is to have."""

    def __init__(self, *, host: str, port: int, setting: str = "AURA_PORT", by_topology: bool = False) -> None:
        other = f"{setting}={port + 1 if port < HIGHEST_PORT else port - 1}"
        choose = "give this process another one in the topology" if by_topology else f"choose another port: {other}"
        super().__init__(f"{host}:{port} is taken by another program; stop it, or {choose}")


def require_free(host: str, port: int, *, setting: str = "AURA_PORT", by_topology: bool = False) -> None:
    """Sees that nothing listens at an address.

    Raises:
        AddressInUse: Something does, or the port may not be opened.
    """
    listen(host, port, setting=setting, by_topology=by_topology).close()


def listen(host: str, port: int, *, setting: str = "AURA_PORT", by_topology: bool = False) -> socket.socket:
    """Returns a socket that is bound to an address.

    Raises:
        AddressInUse: Something listens there, or the port may not be opened.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise AddressInUse(host=host, port=port, setting=setting, by_topology=by_topology) from None
    return bound
