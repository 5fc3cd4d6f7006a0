"""The network addresses that calls from outside come from, behind proxies too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import unquote

FORWARDED_FOR = "x-forwarded-for"
BY_GATEWAY = "aura-gateway"
"""Marks, in the authentication context, the calls that the gateway of this process makes for its own callers."""

Network: TypeAlias = IPv4Network | IPv6Network


class Sources:
    """Finds out where a call from outside comes from.

    A proxy writes into `x-forwarded-for` whom it was called by, behind what was there before. So the last address that
    is no trusted proxy's own is the caller's; what is before it anybody may have made up.

    Args:
        trusted: the networks of proxies that are believed.
    """

    def __init__(self, trusted: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def of(self, peer: str, metadata: Iterable[tuple[str, str | bytes]], bound: Mapping[str, object]) -> str:
        """Returns the address of a caller, without its port; empty if it has none, as in the same process.

        Args:
            peer: gRPC's name of who the connection is with.
            metadata: that of the call.
            bound: the authentication context of the call.
        """
        hop = "" if BY_GATEWAY in bound else _unmapped(source_of(peer))
        if hop and not self._trusts(hop):
            return hop
        if not hop and BY_GATEWAY not in bound:
            return ""
        values = [str(value) for key, value in metadata if key == FORWARDED_FOR]
        before = [entry.strip() for entry in ",".join(values).split(",") if entry.strip()]
        while before:
            entry = before.pop()
            if not _is_address(entry):
                break
            hop = _unmapped(entry)
            if not self._trusts(hop):
                break
        return hop

    def _trusts(self, address: str) -> bool:
        return bool(self._trusted) and _is_in(address, self._trusted)


@lru_cache(maxsize=1024)
def source_of(peer: str) -> str:
    """Returns the address that gRPC's name of a peer, as `ipv4:127.0.0.1:50051`, holds; without the port."""
    kind, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else ""


def networks_in(text: str) -> tuple[Network, ...]:
    """Returns the networks that a text lists, with commas between them. Raises ValueError if one is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


@lru_cache(maxsize=1024)
def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    return _is_address(address) and any(ip_address(address.partition("%")[0]) in network for network in networks)


def _unmapped(address: str) -> str:
    """Returns an IPv4 address that is written as one of IPv6, as itself."""
    return address.lower().removeprefix("::ffff:") if "." in address else address


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
