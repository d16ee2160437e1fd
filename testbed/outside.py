"""How a visitor sees an address: the name from every nameserver, then HTTP to what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import dns.asyncquery
import dns.message
import dns.rcode
import dns.rdatatype

TIMEOUT = timedelta(seconds=5)


@dataclass(frozen=True)
class Visit:
    """The answer of an address: its HTTP status, and the facts in its body."""

    host: str
    address: str
    status: int
    facts: dict[str, Any]

    @property
    def digest(self) -> str:
        """The digest of the image that answered; empty if none did."""
        return str(self.facts.get("digest") or "")

    @property
    def image(self) -> str:
        """``repository@digest`` of the image that answered; empty if none did."""
        return str(self.facts.get("image") or "")


class NotReachable(RuntimeError):
    """The nameservers do not agree on one address, or none is there."""


class Outside:
    """The nameservers of the zone, and the port of the ingress."""

    def __init__(self, resolvers: Sequence[str], http_port: int) -> None:
        self.resolvers = tuple(resolvers)
        self._port = http_port

    async def records(self, host: str, kind: str = "A") -> dict[str, list[str]]:
        """What each nameserver has at this name, by nameserver; an empty list where it has nothing."""
        return {resolver: await _ask(resolver, host, kind) for resolver in self.resolvers}

    async def visit(self, host: str, path: str = "/") -> Visit:
        """GET through DNS. Raises NotReachable unless every nameserver gives the same address."""
        found = await self.records(host)
        addresses = {address for values in found.values() for address in values}
        if len(addresses) != 1 or not all(found.values()):
            raise NotReachable(f"{host}: the nameservers say {found}")
        address = addresses.pop()
        timeout = aiohttp.ClientTimeout(total=TIMEOUT.total_seconds())
        url = f"http://{address}:{self._port}{path}"
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, headers={"Host": host}) as reply:
            facts = await reply.json() if reply.content_type == "application/json" else {}
            return Visit(host, address, reply.status, facts)

    async def is_gone(self, host: str) -> bool:
        """Whether no nameserver has an address or a mark of this name any more."""
        for name, kind in ((host, "A"), (f"a-{host}", "TXT")):
            if any((await self.records(name, kind)).values()):
                return False
        return True


async def _ask(resolver: str, host: str, kind: str) -> list[str]:
    server, _, port = resolver.rpartition(":")
    query = dns.message.make_query(host, kind)
    reply = await dns.asyncquery.udp(query, server, timeout=TIMEOUT.total_seconds(), port=int(port))
    if reply.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise NotReachable(f"{host}: {resolver} answers {dns.rcode.to_text(reply.rcode())}")
    wanted = dns.rdatatype.from_text(kind)
    return sorted(rdata.to_text() for rrset in reply.answer if rrset.rdtype == wanted for rdata in rrset)
