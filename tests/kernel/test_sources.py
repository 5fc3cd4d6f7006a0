"""Where a call comes from, behind proxies and gateways too."""

import pytest

from aura.kernel.security.sources import BY_GATEWAY, Sources, networks_in, source_of

PEER, PROXY = "ipv4:192.0.2.7:1234", "ipv4:10.0.0.5:1234"
TRUSTED = Sources(networks_in("10.0.0.0/8, fd00::/8"))


def forwarded(*values):
    return [("x-forwarded-for", value) for value in values]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:1234", "192.0.2.7"),
        ("ipv6:%5B2001:db8::1%5D:1234", "2001:db8::1"),
        ("ipv6:[::1]:1234", "::1"),
        ("unix:/run/aura", ""),
        ("inprocess:1", ""),
        ("", ""),
    ],
)
def test_the_address_of_a_peer(peer, address):
    assert source_of(peer) == address


def test_whoever_is_no_trusted_proxy_is_the_caller_whatever_they_say():
    for sources in (Sources(), TRUSTED):
        assert sources.of(PEER, forwarded("198.51.100.1"), {}) == "192.0.2.7"


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        (["6.6.6.6", "198.51.100.1, 10.0.0.9"], "198.51.100.1"),
        (["fd00::9, 10.0.0.9"], "fd00::9"),
        (["198.51.100.1, rubbish"], "10.0.0.5"),
        (["198.51.100.1, rubbish, 10.1.1.1"], "10.1.1.1"),
        ([" , "], "10.0.0.5"),
        (["198.51.100.1, ::ffff:10.0.0.9"], "198.51.100.1"),
        ([], "10.0.0.5"),
    ],
)
def test_a_trusted_proxy_says_whom_it_calls_for(values, address):
    assert TRUSTED.of(PROXY, forwarded(*values), {}) == address


def test_the_gateway_says_who_called_it():
    bound = {BY_GATEWAY: ()}

    assert Sources().of("inprocess:1", forwarded("6.6.6.6, 192.0.2.7"), bound) == "192.0.2.7"
    assert TRUSTED.of("inprocess:1", forwarded("6.6.6.6, 192.0.2.7, 10.0.0.5"), bound) == "192.0.2.7"
    assert TRUSTED.of("inprocess:1", forwarded("unknown"), bound) == ""


def test_who_calls_in_the_same_process_has_no_address():
    assert TRUSTED.of("inprocess:1", forwarded("192.0.2.7"), {}) == ""
