"""Where nobody may be sent: link-local addresses, cloud metadata, the operator's own host; in whatever notation.

URLs and targets come from users, and a name may mean another address at each look (DNS rebinding). So a literal address
is judged as it stands, and a name by every address that it has now; whoever connects then connects to just those.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from ..api.errors import ValidationError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""All addresses of a host and port; raises OSError where it has none."""

METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure's host agent
        "192.0.0.192",  # Oracle Cloud, older
        "fd00:ec2::254",  # Amazon, IPv6
        "fd20:ce::254",  # Google, IPv6
        "fd00:42::42",  # Scaleway, IPv6
    )
)
"""Metadata services outside the link-local range, where all others are (169.254.0.0/16, fe80::/10)."""
LOCAL_NAMES = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
    }
)
"""Names that mean such an address to whoever resolves them, Jenkins and Argo CD too."""
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")


def literal(host: str) -> Address | None:
    """The address that `host` is in any notation that C libraries take (decimal, octal, hexadecimal, short), or None
    for a name."""
    text = host.strip("[]").partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text)) if text.isascii() and text[:1].isdigit() else None
    except OSError:
        return None


def is_canonical(host: str) -> bool:
    """Whether an address is written out as everybody reads it: not as one number, in octal or in hexadecimal."""
    try:
        return ipaddress.ip_address(host.strip("[]")) is not None
    except ValueError:
        return False


def trouble_of(address: Address, *, loopback: bool = False) -> str | None:
    """Why nobody may be connected to there, or None. `loopback`: the operator's own host is meant to be reached."""
    for each in (address, *_within(address)):
        if each in METADATA:
            return "a cloud metadata service"
        if each.is_link_local:
            return "a link-local address (cloud metadata)"
        if each.is_unspecified or each.is_multicast or each == ipaddress.IPv4Address("255.255.255.255"):
            return "no address of a host"
        if each.is_loopback and not loopback:
            return "the operator's own host"
        if each.version == 4 and each in ipaddress.ip_network("0.0.0.0/8"):
            return "no address of a host"
    return None


def _within(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that an IPv6 address may be carried on to."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    last = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    found += list(address.teredo or ())
    own = address.is_loopback or address.is_unspecified
    carries = any(address in network for network in _NAT64) or (address in _COMPATIBLE and not own)
    return tuple(each for each in (*found, last if carries else None) if each is not None)


def check_host(host: str, *, loopback: bool = False) -> None:
    """Raise ValidationError where the host of a URL is such an address, or a name known to mean one."""
    name = host.lower().strip("[]").rstrip(".")
    address = literal(host)
    if address is None:
        if not loopback and (name in LOCAL_NAMES or name.endswith(".localhost")):
            raise ValidationError(f"the host '{name}' is no place that may be asked; name a public one")
        return
    trouble = trouble_of(address, loopback=loopback)
    if trouble is not None:
        raise ValidationError(f"the host '{name}' is {trouble}, which may not be asked; name another host")


async def addresses_of(host: str, port: int) -> tuple[str, ...]:
    """What the system's resolver says, each address once."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(info[4][0]) for info in infos))


def check_addresses(host: str, addresses: tuple[str, ...], *, loopback: bool = False) -> None:
    """Raise ValidationError where one of a name's addresses is such that nobody is sent there."""
    for text in addresses:
        found = literal(text)
        trouble = "no address" if found is None else trouble_of(found, loopback=loopback)
        if trouble is not None:
            raise ValidationError(f"the host '{host}' has the address {text}, which is {trouble}; it is not asked")


class CheckedResolver(AbstractResolver):
    """For connections to what users name: a name with one forbidden address resolves to none."""

    def __init__(self, *, loopback: bool = False, inner: AbstractResolver | None = None) -> None:
        self._loopback = loopback
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        inner = self._inner or ThreadedResolver()
        found = await inner.resolve(host, port, family)
        try:
            check_addresses(host, tuple(each["host"] for each in found), loopback=self._loopback)
        except ValidationError as error:
            raise OSError(errno.EADDRNOTAVAIL, error.message) from error
        return found

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()
