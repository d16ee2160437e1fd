"""When the certificates of Git servers end. Git itself does not say, so a server is greeted once an hour for it."""

from __future__ import annotations

import asyncio
import math
import ssl
from datetime import timedelta

from ..runtime.clock import Clock
from ..runtime.every import Every
from ..runtime.logs import get_logger
from .git_process import Repository

INTERVAL = timedelta(hours=1)
KEPT = timedelta(days=1)
"""A server that no project has any more is forgotten after this."""
TIMEOUT = timedelta(seconds=5)

_log = get_logger(__name__)


class GitCertificates:
    """What the servers showed that were looked at. Nothing is sent to them after the greeting."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looks = Every(clock, INTERVAL)
        self._seen: dict[str, tuple[float, float]] = {}
        """By server: when its certificate ends (unix time), and when that was seen (monotonic)."""

    def earliest(self) -> float:
        """When the first of them ends (unix time); infinity where none is known."""
        now = self._clock.monotonic()
        return min((ends for ends, seen in self._seen.values() if now - seen < KEPT.total_seconds()), default=math.inf)

    async def look(self, repository: Repository) -> None:
        """At the server of a repository that could be read. Raises nothing: what is wrong there, git says better."""
        host, port = repository.place
        server = f"{host}:{port}"
        if repository.url.startswith("http://") or not self._looks.due(server):
            return
        self._looks.done(server)
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                # To an address that was judged, as git itself.
                ends = await _end_of(repository.addresses[0] if repository.addresses else host, port, host)
        except OSError as error:  # TLS and time-outs among them
            _log.info("a Git server did not show its certificate", server=server, error=str(error) or "no answer")
            return
        self._seen[server] = ends, self._clock.monotonic()


async def _end_of(address: str, port: int, host: str) -> float:
    context = ssl.create_default_context()
    _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
    try:
        found = writer.get_extra_info("peercert")
        return float(ssl.cert_time_to_seconds(found["notAfter"]))
    finally:
        writer.transport.abort()
