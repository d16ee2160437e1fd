"""A client of GoDaddy and the stand-in behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.budget import RequestBudget
from devops_reconciler.services.godaddy import GoDaddy, Record
from devops_reconciler.services.http import AiohttpTransport, Http
from standins.controls import Kind
from standins.godaddy import GoDaddyStandin
from standins.godaddy_zone import Zone

ZONE = "example.com"
RESETS = 2
"""The connection pool sends an idempotent request once more by itself when its connection is cut."""
SECRET = "s3cr3t-v4lue"
SHOP = Record("A", "shop", "203.0.113.7", 600)


@dataclass
class Target:
    """The client, the zone it may write to, and the service behind it."""

    client: GoDaddy
    standin: GoDaddyStandin
    clock: FakeClock
    http: Http
    transport: AiohttpTransport
    key: str = "key"

    @property
    def zone(self) -> Zone:
        return self.standin.zone(ZONE)

    def with_budget(self, per_minute: int) -> GoDaddy:
        budget = RequestBudget(self.clock, per_minute)
        http = Http("godaddy", self.standin.url, self.transport, self.clock, budget=budget)
        return GoDaddy(http, key=lambda: self.key, secret=lambda: SECRET, clock=self.clock)

    def fault(self, method: str, kind: Kind | int, *, after_effect: bool = False) -> None:
        times = RESETS if kind == "reset" else 1
        self.standin.controls.fault(method, "/v1/domains", kind, times=times, after_effect=after_effect)

    def sent(self) -> list[tuple[str, str]]:
        return [(call.method, call.path) for call in self.standin.controls.calls]


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    clock, transport = FakeClock(), AiohttpTransport()
    async with GoDaddyStandin([ZONE], 1, credentials=("key", SECRET), per_minute=100_000, clock=clock) as standin:
        http = Http("godaddy", standin.url, transport, clock, timeout=timedelta(seconds=2))
        client = GoDaddy(http, key=lambda: holder.key, secret=lambda: SECRET, clock=clock)
        holder = Target(client, standin, clock, http, transport)
        yield holder
        await transport.close()
