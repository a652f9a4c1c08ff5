"""CEL's ``ip`` and ``cidr`` libraries: addresses and networks.

Source: k8s.io/apiserver ``pkg/cel/library/ip.go`` and ``cidr.go``; the predicates are those of Go's ``net/netip``.
"""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from .celtype import BOOL, CIDR, INT, IP, STRING
from .functions import FunctionError, Opaque, Overload, function

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface

_IPV4_LINK_LOCAL_MULTICAST = ipaddress.ip_network("224.0.0.0/24")
_SCOPE_MASK = 0xFF0F << 112


def parse_ip(text: str) -> Address:
    """An address from its text.

    Raises:
        FunctionError: not an address, or one with a zone, or an IPv4 address dressed as IPv6.
    """
    address = _address(text)
    if address is None:
        raise FunctionError(f"IP Address {text!r} parse error during conversion from string")
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise FunctionError(f"IP address {text!r} with zone value is not allowed")
        if address.ipv4_mapped is not None:
            raise FunctionError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return address


def _address(text: str) -> Address | None:
    # The standard library also reads other scripts' digits, and a prefix is no address.
    if not text.isascii() or "/" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def parse_cidr(text: str) -> Interface:
    """An address with a prefix length from its text; host bits may be set.

    Raises:
        FunctionError: not in CIDR notation, or an IPv4 address dressed as IPv6.
    """
    host, slash, bits = text.rpartition("/")
    address = _address(host)
    digits = bits.isascii() and bits.isdigit() and (bits == "0" or bits[0] != "0")
    if not slash or address is None or not digits or int(bits[:4]) > address.max_prefixlen:
        raise FunctionError(f"network address parse error during conversion from string: {text!r}")
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise FunctionError(
                f"network address parse error during conversion from string: {text!r} has a zone"
            )
        if address.ipv4_mapped is not None:
            raise FunctionError(f"IPv4-mapped IPv6 address {text!r} is not allowed")
    return ipaddress.ip_interface((address, int(bits)))


IP_OPAQUE = Opaque(IP, "I", str, ipaddress.ip_address)
CIDR_OPAQUE = Opaque(CIDR, "C", str, ipaddress.ip_interface)


def _is_ip(text: str) -> bool:
    try:
        parse_ip(text)
    except FunctionError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        parse_cidr(text)
    except FunctionError:
        return False
    return True


def _is_link_local_multicast(address: Address) -> bool:
    if address.version == 6:
        # ffx2: any flags, link-local scope. The standard library knows only the scope without flags.
        return int(address) & _SCOPE_MASK == 0xFF02 << 112
    return address in _IPV4_LINK_LOCAL_MULTICAST


def _is_link_local_unicast(address: Address) -> bool:
    return address.is_link_local


def _is_global_unicast(address: Address) -> bool:
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not special and str(address) != "255.255.255.255"


def _contains_ip(network: Interface, address: Address) -> bool:
    return address in network.network


def _contains_cidr(network: Interface, other: Interface) -> bool:
    return other.version == network.version and (
        network.network.prefixlen <= other.network.prefixlen
        and other.network.network_address in network.network
    )


def _masked(network: Interface) -> Interface:
    return ipaddress.ip_interface(str(network.network))


FUNCTIONS = (
    function(
        "ip",
        Overload("string_to_ip", (STRING,), IP, python=parse_ip),
        Overload("cidr_ip", (CIDR,), IP, member=True, python=lambda network: network.ip),
    ),
    function("isIP", Overload("is_ip", (STRING,), BOOL, python=_is_ip)),
    function(
        "ip.isCanonical",
        Overload("ip_is_canonical", (STRING,), BOOL, python=lambda text: str(parse_ip(text)) == text),
    ),
    function(
        "family", Overload("ip_family", (IP,), INT, member=True, python=lambda address: address.version)
    ),
    function(
        "isUnspecified",
        Overload(
            "ip_is_unspecified", (IP,), BOOL, member=True, python=lambda address: address.is_unspecified
        ),
    ),
    function(
        "isLoopback",
        Overload("ip_is_loopback", (IP,), BOOL, member=True, python=lambda address: address.is_loopback),
    ),
    function(
        "isLinkLocalMulticast",
        Overload("ip_is_link_local_multicast", (IP,), BOOL, member=True, python=_is_link_local_multicast),
    ),
    function(
        "isLinkLocalUnicast",
        Overload("ip_is_link_local_unicast", (IP,), BOOL, member=True, python=_is_link_local_unicast),
    ),
    function(
        "isGlobalUnicast",
        Overload("ip_is_global_unicast", (IP,), BOOL, member=True, python=_is_global_unicast),
    ),
    function("cidr", Overload("string_to_cidr", (STRING,), CIDR, python=parse_cidr)),
    function("isCIDR", Overload("is_cidr", (STRING,), BOOL, python=_is_cidr)),
    function(
        "containsIP",
        Overload(
            "cidr_contains_ip_string",
            (CIDR, STRING),
            BOOL,
            member=True,
            python=lambda network, text: _contains_ip(network, parse_ip(text)),
        ),
        Overload("cidr_contains_ip_ip", (CIDR, IP), BOOL, member=True, python=_contains_ip),
    ),
    function(
        "containsCIDR",
        Overload(
            "cidr_contains_cidr_string",
            (CIDR, STRING),
            BOOL,
            member=True,
            python=lambda network, text: _contains_cidr(network, parse_cidr(text)),
        ),
        Overload("cidr_contains_cidr", (CIDR, CIDR), BOOL, member=True, python=_contains_cidr),
    ),
    function(
        "prefixLength",
        Overload("cidr_prefix_length", (CIDR,), INT, member=True, python=lambda n: n.network.prefixlen),
    ),
    function("masked", Overload("cidr_masked", (CIDR,), CIDR, member=True, python=_masked)),
)

STRINGS = (
    Overload("ip_to_string", (IP,), STRING, python=str),
    Overload("cidr_to_string", (CIDR,), STRING, python=str),
)
"""Overloads of ``string()``, which is the standard library's; ``library`` puts them together."""
