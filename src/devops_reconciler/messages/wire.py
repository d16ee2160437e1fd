"""A connection that knows its socket, and so can always end it.

aio-pika leaves one open that is cancelled between the log-in and the first use: it would stay at the broker, with
nobody who knows of it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

CertificateEnds = Callable[[float], None]
"""Told when the broker's certificate ends, in unix time."""


class _Wire(TransportFactory):
    """Opens a socket as aiormq itself does, and keeps hold of it."""

    def __init__(self, certificate_ends: CertificateEnds | None) -> None:
        self._certificate_ends = certificate_ends
        self.writer: asyncio.StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        how = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await how.create(url, **kwargs)
        ends = (self.writer.get_extra_info("peercert") or {}).get("notAfter")
        if ends and self._certificate_ends is not None:
            self._certificate_ends(ssl.cert_time_to_seconds(ends))
        return reader, self.writer


class WiredConnection(aio_pika.Connection):
    """A connection that is not restored when it is lost."""

    def __init__(self, url: URL, *, certificate_ends: CertificateEnds | None = None, **kwargs: Any) -> None:
        super().__init__(url, **kwargs)
        self._wire = self.kwargs["transport_factory"] = _Wire(certificate_ends)

    def cut(self) -> None:
        """End it at once, unless it has ended. What aiormq has going on it ends with it."""
        if self._wire.writer is not None:
            self._wire.writer.transport.abort()
