"""The health checks of the services: they log in, and leave alone what its breaker leaves alone."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError
from devops_reconciler.cli.checks import VendorChecks
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.health import HealthChecker
from devops_reconciler.services.breaker import CircuitBreaker
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.jenkins import Jenkins


class Server:
    """A Jenkins that is well or ill, and takes us for whoever it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.who: dict[str, Any] = {"name": "operator", "authenticated": True}
        self.asked = 0

    async def send(self, request: Request) -> Response:
        self.asked += 1
        return Response(self.status, {"x-jenkins": "2.579"}, json.dumps(self.who).encode())

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


def checks_of(server: Server, clock: FakeClock) -> dict[str, Any]:
    breaker = CircuitBreaker("jenkins", failure_threshold=1, clock=clock)
    jenkins = Jenkins(
        Http("jenkins", "http://jenkins", server, clock, breaker=breaker), username=lambda: "u", token=lambda: "t"
    )
    world: Any = SimpleNamespace(jenkins=jenkins, settings=SimpleNamespace(jenkins_username="operator"))
    return VendorChecks(world).by_name()


async def test_a_check_says_who_the_service_takes_us_for() -> None:
    assert await checks_of(Server(), FakeClock())["jenkins_connection"]() == "2.579, as operator"


async def test_a_service_that_takes_us_for_nobody_fails_its_check() -> None:
    server = Server()
    server.who = {"name": "anonymous", "anonymous": True}
    with pytest.raises(CredentialsError):
        await checks_of(server, FakeClock())["jenkins_connection"]()


async def test_an_open_breaker_is_not_bothered_by_health() -> None:
    server, clock = Server(), FakeClock()
    health = HealthChecker(clock)
    health.register("jenkins_connection", checks_of(server, clock)["jenkins_connection"])
    server.status = 503
    assert not (await health.run_health_checks())["jenkins_connection"].ok
    await asyncio.sleep(0)
    asked = server.asked
    clock.advance(timedelta(seconds=11))
    result = (await health.run_health_checks())["jenkins_connection"]
    assert (server.asked, result.ok) == (asked, False)
    assert "has failed 1 time in a row" in result.detail


async def test_what_is_down_raises() -> None:
    server = Server()
    server.status = 500
    with pytest.raises(ExternalServiceError):
        await checks_of(server, FakeClock())["jenkins_connection"]()
