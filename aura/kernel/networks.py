"""Network addresses, as far as they tell who is who."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

IPV6_NETWORK_BITS = 64
"""Whoever has one IPv6 address has as many as this leaves over."""

REMEMBERED = 10_000


@lru_cache(maxsize=REMEMBERED)
def network_of(source: str) -> str:
    """Returns whose calls are counted together: those of an IPv4 address, or of the network of an IPv6 address."""
    try:
        address = ip_address(source.partition("%")[0])
    except ValueError:
        return source
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, IPV6_NETWORK_BITS), strict=False))
