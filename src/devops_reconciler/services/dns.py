"""What the nameservers of a zone really answer.

Each nameserver is asked by itself, without recursion and without a cache in between: a resolver that has once heard
"no such name" repeats it for as long as the zone allows, and a record is proven only when every nameserver gives it.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import timedelta

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT

from ..api.errors import ExternalServiceError, ValidationError
from ..runtime.clock import Clock
from .traced import lookup_span

SERVICE = "dns"
PORT = 53


@dataclass(frozen=True)
class Answer:
    """What one nameserver says. `server` is its name, or `host:port` as configured.

    Without an `error`, no `values` means that it knows of none (no such name, or no such type at the name). With an
    error nothing is known, and nothing may be concluded.
    """

    server: str
    values: tuple[str, ...] = ()
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Visibility:
    """Whether all nameservers agree. `missing` names those that do not, `detail` says it in a sentence."""

    ok: bool
    missing: tuple[str, ...]
    detail: str


@dataclass(frozen=True)
class _Server:
    """A nameserver and where it listens; it is asked at its next address when one cannot be reached."""

    name: str
    addresses: tuple[str, ...]
    port: int
    authoritative: bool
    """Found through the zone's NS records: an answer that does not claim authority is then worth nothing."""


class Nameservers:
    """The nameservers of any zone.

    `resolvers` (`host:port`, IPv6 in brackets) are asked instead of the nameservers that the zone names; they have to
    answer for it without recursion. `timeout` bounds the question to one address. `system` finds NS records and the
    addresses of nameservers, by default with the system's configuration; `port` is where they listen.
    """

    def __init__(
        self,
        resolvers: Iterable[str],
        clock: Clock,
        timeout: timedelta = timedelta(seconds=3),
        *,
        system: dns.asyncresolver.Resolver | None = None,
        port: int = PORT,
    ) -> None:
        self._resolvers = tuple(resolvers)
        self._clock = clock
        self._timeout = timeout.total_seconds()
        self._system = system
        self._port = port

    async def answers(self, zone: str, host: str, rtype: str) -> list[Answer]:
        """What each nameserver of `zone` says about records of `rtype` at `host`, asked side by side.

        Raises ExternalServiceError when the nameservers themselves cannot be found. A nameserver that cannot be asked
        is an Answer with an error.
        """
        servers = await self._servers(zone)
        question = _question(host, rtype)
        if not servers:
            raise ExternalServiceError(f"zone {zone} names no nameserver", service=SERVICE, maybe_applied=False)
        return list(await asyncio.gather(*(self._ask(server, question) for server in servers)))

    async def shows(self, zone: str, host: str, rtype: str, values: Iterable[str]) -> Visibility:
        """Whether every nameserver gives all of `values`. Others may be beside them."""
        wanted = [normal(rtype, each) for each in values]
        troubles: dict[str, str] = {}
        for answer in await self.answers(zone, host, rtype):
            lacking = [each for each in wanted if each not in answer.values]
            if answer.error is not None:
                troubles[answer.server] = answer.error
            elif lacking:
                given = ", ".join(answer.values) or "nothing"
                troubles[answer.server] = f"gives {given}, not {', '.join(lacking)}"
        return _verdict(f"{rtype} {host}", "given by every nameserver", troubles)

    async def gone(self, zone: str, host: str, rtype: str, values: Iterable[str] | None = None) -> Visibility:
        """Whether no nameserver gives a record of `rtype` at `host` any more; with `values`, none of these.

        What a nameserver says of a host that lies in a zone inside this one tells nothing of this one, which shows to
        nobody there.
        """
        unwanted = None if values is None else {normal(rtype, each) for each in values}
        troubles: dict[str, str] = {}
        for answer in await self.answers(zone, host, rtype):
            left = [each for each in answer.values if unwanted is None or each in unwanted]
            if answer.error is not None:
                troubles[answer.server] = answer.error
            elif left:
                troubles[answer.server] = f"still gives {', '.join(left)}"
        if troubles:
            for name in await self._of_an_inner_zone(zone, host, troubles):
                del troubles[name]
        return _verdict(f"{rtype} {host}", "gone from every nameserver", troubles)

    async def _of_an_inner_zone(self, zone: str, host: str, names: Container[str]) -> set[str]:
        """Those of these nameservers for which `host` lies in a zone inside of `zone`: their own, or one they refer to.

        The SOA is asked for at each name between the two, since a CNAME at the host would answer for it.
        """
        apex, name = dns.name.from_text(zone), dns.name.from_text(host)
        between = []
        while name != apex and name.is_subdomain(apex):
            between.append(name)
            name = name.parent()
        servers = [server for server in await self._servers(zone) if server.name in names]
        asked = [(server, each) for server in servers for each in between]
        replies = await asyncio.gather(
            *(self._reply(server, _question(each.to_text(), "SOA")) for server, each in asked)
        )
        return {
            server.name
            for (server, _), reply in zip(asked, replies, strict=True)
            if not isinstance(reply, str) and _begins_a_zone(reply)
        }

    async def _servers(self, zone: str) -> list[_Server]:
        if not self._resolvers:
            return await self._delegated(zone)
        configured = [_split(each) for each in self._resolvers]
        found = await asyncio.gather(*(self._addresses_of_configured(host) for host, _ in configured))
        return [
            _Server(text, addresses, port, authoritative=False)
            for text, (_, port), addresses in zip(self._resolvers, configured, found, strict=True)
        ]

    async def _addresses_of_configured(self, host: str) -> tuple[str, ...]:
        if _is_address(host):
            return (host,)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, proto=17)
        except OSError:
            return ()
        return tuple(dict.fromkeys(str(each[4][0]) for each in found))

    async def _delegated(self, zone: str) -> list[_Server]:
        """The zone's NS records, and the addresses of each nameserver (IPv4 first: many clusters have no IPv6)."""
        try:
            system = self._system or dns.asyncresolver.Resolver()
            reply = await system.resolve(dns.name.from_text(zone), "NS")
        except (dns.exception.DNSException, OSError) as error:
            raise ExternalServiceError(
                f"the nameservers of zone {zone} cannot be found: {_text(error)}; check the zone's delegation, "
                "or set DNS_RESOLVERS",
                service=SERVICE,
                maybe_applied=False,
            ) from error
        names = sorted(each.target.to_text(omit_final_dot=True).lower() for each in reply)
        found = await asyncio.gather(*(_addresses(system, each) for each in names))
        return [_Server(name, each, self._port, authoritative=True) for name, each in zip(names, found, strict=True)]

    async def _ask(self, server: _Server, question: dns.message.QueryMessage) -> Answer:
        started = self._clock.monotonic()
        reply = await self._reply(server, question)
        seconds = self._clock.monotonic() - started
        if isinstance(reply, str):
            return Answer(server.name, (), reply, seconds)
        values, wrong = _values(reply, server.authoritative)
        return Answer(server.name, values, wrong, seconds)

    async def _reply(self, server: _Server, question: dns.message.QueryMessage) -> dns.message.Message | str:
        """What it replies, or why nothing is known."""
        error = "its address cannot be found"
        for address in server.addresses:
            # Each try gets a number of its own, so that a late answer to the last one cannot be taken for this one's.
            query = dns.message.make_query(question.question[0].name, question.question[0].rdtype, flags=0)
            try:
                with lookup_span(str(question.question[0].name), address, server.port):
                    reply, _ = await dns.asyncquery.udp_with_fallback(
                        query, address, self._timeout, server.port, ignore_unexpected=True, ignore_errors=True
                    )
            except dns.exception.Timeout:
                error = f"no answer within {self._timeout:g} s"
                continue
            except (OSError, EOFError, dns.exception.DNSException) as problem:
                error = _text(problem)
                continue
            return reply
        return error


async def _addresses(system: dns.asyncresolver.Resolver, name: str) -> tuple[str, ...]:
    found: list[str] = []
    for rtype in ("A", "AAAA"):
        try:
            found += [each.address for each in await system.resolve(name, rtype)]
        except (dns.exception.DNSException, OSError):
            # No address of this family: the other one may do; none at all becomes the answer's error.
            continue
    return tuple(found)


def _question(host: str, rtype: str) -> dns.message.QueryMessage:
    try:
        return dns.message.make_query(dns.name.from_text(host), rtype)
    except dns.exception.DNSException as error:
        raise ValidationError(f"{rtype} {host!r} is not a question that DNS knows: {_text(error)}") from error


def _values(reply: dns.message.Message, authoritative: bool) -> tuple[tuple[str, ...], str | None]:
    """The values of the type that was asked, at the very name that was asked, or what is wrong with the answer."""
    rcode = reply.rcode()
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return (), f"answers {dns.rcode.to_text(rcode)}"
    if authoritative and not reply.flags & dns.flags.AA:
        return (), "answers without authority for the zone"
    asked = reply.question[0]
    found = reply.get_rrset(reply.answer, asked.name, asked.rdclass, asked.rdtype)
    if found is not None:
        rtype = dns.rdatatype.to_text(asked.rdtype)
        return tuple(sorted(normal(rtype, each.to_text()) for each in found)), None
    if not reply.answer and not reply.flags & dns.flags.AA and _refers(reply):
        return (), "refers to other nameservers: it is not one of the zone's"
    return (), None


def _begins_a_zone(reply: dns.message.Message) -> bool:
    """Whether a reply about the SOA of a name shows that a zone begins at it, here or where it refers to."""
    name = reply.question[0].name
    if any((each.name, each.rdtype) == (name, dns.rdatatype.SOA) for each in reply.answer):
        return True
    return not reply.answer and _refers(reply) and any(each.name == name for each in reply.authority)


def _refers(reply: dns.message.Message) -> bool:
    types = {each.rdtype for each in reply.authority}
    return dns.rdatatype.NS in types and dns.rdatatype.SOA not in types


def normal(rtype: str, value: str) -> str:
    """A value as it is compared: addresses short, names in lower case without final dot, texts joined, no quotes."""
    kind = rtype.upper()
    if kind in ("A", "AAAA"):
        try:
            return str(ipaddress.ip_address(value.strip()))
        except ValueError:
            return value.strip()
    if kind == "TXT":
        return _joined(value)
    return value.strip().rstrip(".").lower()


def _joined(value: str) -> str:
    """The text of a TXT value: in quotes, and in several strings if it is long, or as it is."""
    text = value.strip()
    if not text.startswith('"'):
        return text
    try:
        rdata = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, text)
    except dns.exception.DNSException:
        return text.strip('"')
    strings = rdata.strings if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT) else ()
    return b"".join(strings).decode("utf-8", errors="replace").strip('"')


def _verdict(what: str, goal: str, troubles: dict[str, str]) -> Visibility:
    if not troubles:
        return Visibility(True, (), f"{what} is {goal}")
    text = "; ".join(f"{server} {trouble}" for server, trouble in sorted(troubles.items()))
    return Visibility(False, tuple(sorted(troubles)), f"{what} is not yet {goal}: {text}")


def _split(text: str) -> tuple[str, int]:
    """`host:port`, `host`, `[v6]:port` → host and port."""
    host, colon, port = text.rpartition(":")
    if not colon or _is_address(text):
        return text.strip("[]"), PORT
    if not port.isdigit():
        raise ValidationError(f"DNS_RESOLVERS: {text!r} is not host:port")
    return host.strip("[]"), int(port)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _text(error: Exception) -> str:
    return str(error) or type(error).__name__
