"""Addresses that downloads may connect to.

The operator fetches what any author of a task names, from its own place in the network. So it
connects to addresses of the public internet only, and to networks that an administrator names. The
check is made on the resolved address of each connection, so that names, redirects, changed DNS
answers and unusual spellings of an address (decimal, octal, IPv4 inside IPv6) make no difference.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

from acesniper.domain.errors import AddressNotAllowed

Network = IPv4Network | IPv6Network

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast. Not `is_global`, whose
# answer differs between versions of Python.
_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # Azure's host services, at an address that looks public
        ),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)  # among them Teredo and 6to4, which lead to IPv4 addresses
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def _nothing() -> tuple[Network, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Destinations:
    """What a download may connect to.

    `allowed` are networks in addition to the public internet; None allows every address, for a pod
    that is subject to the NetworkPolicies of its namespace. `internal` returns networks that belong
    to the cluster although their addresses are public. An allowed network precedes an internal one.
    """

    allowed: tuple[Network, ...] | None = ()
    internal: Callable[[], Iterable[Network]] = _nothing

    @property
    def everywhere(self) -> bool:
        """Whether every address is allowed."""
        return self.allowed is None

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Raise AddressNotAllowed unless each address that a host resolves to is allowed.

        The message does not contain the addresses: names inside the cluster are not to be looked
        up this way.
        """
        if self.allowed is None:
            return
        for text in addresses:
            if not self._allows(text, self.allowed):
                raise AddressNotAllowed(
                    f"{host} is not an address of the public internet, and not in"
                    " operator.settings.fetchNetworks"
                )

    def _allows(self, text: str, allowed: Iterable[Network]) -> bool:
        address = ip_address(text.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in allowed):
            return True
        return is_public(address) and not any(address in network for network in self.internal())


ANYWHERE = Destinations(allowed=None)
"""Every address: what a pod may reach is up to the NetworkPolicies of its namespace."""
