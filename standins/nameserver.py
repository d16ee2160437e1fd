"""A real authoritative nameserver on a loopback port, over UDP and TCP, for zones that change and are seen with a lag.

It answers A, AAAA, CNAME, TXT, NS, SOA, MX and SRV, follows CNAMEs inside the zone, matches wildcards, tells "no such
name" from "no such type", refers to delegated subzones, and truncates what is too long for UDP.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from .godaddy_zone import Zone
from .nameserver_lookup import Lookup

UDP_LIMIT = 512


@dataclass(frozen=True)
class Query:
    """One question that arrived."""

    name: str
    type: str
    transport: str
    recursion_desired: bool


class Nameserver:
    """One nameserver of all `zones`. Set `lag` (seconds), `down` (silence) or `rcode` (as "SERVFAIL") at will.

    Names outside its zones are REFUSED.
    """

    def __init__(self, zones: Mapping[str, Zone], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.zones = zones
        self.host = host
        self.port = port
        self.lag = 0.0
        self.down = False
        self.rcode: str | None = None
        self.authoritative = True
        """False: it answers as one that is not responsible (AA is off)."""
        self.queries: list[Query] = []
        self.errors: list[Exception] = []
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """`host:port`, as DNS_RESOLVERS takes it."""
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        """Listen on one number for UDP and TCP; with port 0 a free one is found."""
        for attempt in range(20):
            udp, tcp = _sockets(self.host, self.port)
            if udp is not None and tcp is not None:
                break
            if self.port or attempt == 19:
                raise OSError(f"port {self.port} of {self.host} is not free for UDP and TCP")
        assert udp is not None
        self.port = udp.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._tcp = await asyncio.start_server(self._converse, sock=tcp)

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            for writer in list(self._connections):
                writer.close()
            await self._tcp.wait_closed()
        # Let the transports close their sockets.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self.errors and error is None:
            raise self.errors[0]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        # A client may hang up at any time: that ends the conversation, and is no fault.
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not self.down:
                length = int.from_bytes(await reader.readexactly(2), "big")
                reply = self.reply(await reader.readexactly(length), "tcp")
                if reply is None:
                    break
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        self._connections.discard(writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    def reply(self, wire: bytes, transport: str) -> bytes | None:
        """The answer to a question on the wire, or None for silence."""
        if self.down:
            return None
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        response = dns.message.make_response(query)
        question = query.question[0] if len(query.question) == 1 else None
        if question is None or question.rdclass != dns.rdataclass.IN:
            response.set_rcode(dns.rcode.FORMERR)
        else:
            asked = Query(
                question.name.to_text(omit_final_dot=True).lower(),
                dns.rdatatype.to_text(question.rdtype),
                transport,
                bool(query.flags & dns.flags.RD),
            )
            self.queries.append(asked)
            if self.rcode is not None:
                response.set_rcode(dns.rcode.from_text(self.rcode))
            else:
                self._fill(response, question.name, question.rdtype)
        limit = 65535 if transport == "tcp" else max(UDP_LIMIT, query.payload)
        return response.to_wire(max_size=limit, prefer_truncation=True)

    def _fill(self, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> None:
        zone = self._zone_of(name)
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return
        if self.authoritative:
            response.flags |= dns.flags.AA
        Lookup(zone, self.lag).answer(response, name, rdtype)

    def _zone_of(self, name: dns.name.Name) -> Zone | None:
        fits = [zone for zone in self.zones.values() if name.is_subdomain(dns.name.from_text(zone.name))]
        return max(fits, key=lambda zone: len(zone.name), default=None)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Nameserver) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own datagram transports are no subclass of this one before Python 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        try:
            reply = self._server.reply(data, "udp")
        except (dns.exception.DNSException, ValueError, KeyError) as error:
            self._server.errors.append(error)
            return
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


def _sockets(host: str, port: int) -> tuple[socket.socket | None, socket.socket | None]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        udp.bind((host, port))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((host, udp.getsockname()[1]))
    except OSError:
        udp.close()
        tcp.close()
        return None, None
    udp.setblocking(False)
    tcp.setblocking(False)
    return udp, tcp
