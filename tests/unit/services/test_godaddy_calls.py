"""How the calls of GoDaddy's client are counted and told."""

from __future__ import annotations

import pytest

from devops_reconciler.api.errors import ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.godaddy import GoDaddy, Record
from devops_reconciler.services.http import Response

from .http_script import Script, http

ZONE = "example.com"


def client(script: Script, told: list[str]) -> GoDaddy:
    clock = FakeClock()
    calls = http(script, clock, observer=lambda service, operation, code, seconds: told.append(operation))
    return GoDaddy(calls, key=lambda: "key", secret=lambda: "secret", clock=clock)


async def test_metrics_name_no_record() -> None:
    """Each label is kept for as long as the process lives, and Prometheus keeps it for weeks."""
    told: list[str] = []
    empty = Response(200, body=b"[]")
    it = client(Script(*[empty, Response(200), Response(204)] * 2), told)
    for name in ("shop", "blog"):
        await it.records(ZONE, "A", name)
        await it.replace(ZONE, "A", name, [Record("A", name, "203.0.113.7", 600)])
        await it.delete(ZONE, "A", name)
    assert told == ["get records", "replace records", "delete records"] * 2


@pytest.mark.parametrize("status", [404, 422])
async def test_an_error_says_which_record(status: int) -> None:
    it = client(Script(Response(status, body=b'{"code": "X", "message": "no"}')), [])
    with pytest.raises(ValidationError, match=r"replace records A shop in zone example\.com"):
        await it.replace(ZONE, "A", "shop", [Record("A", "shop", "203.0.113.7", 600)])
