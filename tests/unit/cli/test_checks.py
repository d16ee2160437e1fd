"""The health checks of the services: they log in, and leave alone what its breaker leaves alone."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, ReconcilerError, ValidationError
from devops_reconciler.cli.checks import VendorChecks
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.health import HealthChecker
from devops_reconciler.runtime.settings import AllowList
from devops_reconciler.services.breaker import CircuitBreaker
from devops_reconciler.services.dockerhub import DockerHub
from devops_reconciler.services.godaddy import GoDaddy
from devops_reconciler.services.http import Http, Request, Response
from devops_reconciler.services.jenkins import Jenkins

from ..world import settings


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
    assert "has failed since " in result.detail


async def test_what_is_down_raises() -> None:
    server = Server()
    server.status = 500
    with pytest.raises(ExternalServiceError):
        await checks_of(server, FakeClock())["jenkins_connection"]()


class Accounts:
    """GoDaddy with some zones, and Docker Hub with an account: both keep what they are asked for."""

    def __init__(self, *zones: str) -> None:
        self.zones = set(zones)
        self.ill: set[str] = set()
        self.takes_login = True
        self.asked: list[str] = []

    async def send(self, request: Request) -> Response:
        path = request.url.partition("://")[2].partition("/")[2].partition("?")[0]
        self.asked.append(path)
        if path == "v2/auth/token":
            return Response(200, body=b'{"access_token": "t"}') if self.takes_login else Response(401, body=b"{}")
        zone = path.removeprefix("v1/domains/")
        if zone in self.ill:
            return Response(503)
        if zone == path or zone in self.zones:
            return Response(200, body=b'{"status": "ACTIVE"}')
        return Response(404, body=b'{"code": "UNKNOWN_DOMAIN"}')

    def stream(self, request: Request) -> None:
        raise AssertionError("not used")

    async def close(self) -> None:
        pass


def vendor_checks(accounts: Accounts, **changes: Any) -> dict[str, Any]:
    clock = FakeClock()
    hub = DockerHub(
        Http("dockerhub", "http://hub", accounts, clock),
        username=lambda: "acmebot" if changes.get("dockerhub_username") else "",
        secret=lambda: "s",
        clock=clock,
    )
    http = Http("godaddy", "http://godaddy", accounts, clock)
    godaddy = GoDaddy(http, key=lambda: "k", secret=lambda: "s", clock=clock)
    world: Any = SimpleNamespace(hub=hub, godaddy=godaddy, settings=settings(**changes))
    return VendorChecks(world).by_name()


def godaddy_check(accounts: Accounts, allowed: str, **changes: Any) -> Any:
    return vendor_checks(accounts, dns_allowed_zones=AllowList.parse(allowed), **changes)["godaddy_connection"]


async def test_zones_that_only_single_namespaces_may_use_are_asked_for() -> None:
    accounts = Accounts("example.com", "b.example")
    assert await godaddy_check(accounts, "team-a=example.com;team-b=b.example")() == (
        "zones example.com, b.example are in the account"
    )
    assert accounts.asked == ["v1/domains/example.com", "v1/domains/b.example"]


async def test_a_zone_that_is_not_in_the_account_fails_its_check_until_it_is() -> None:
    accounts = Accounts("example.com")
    check = godaddy_check(accounts, "example.com,b.example")
    for _ in range(2):
        with pytest.raises(ReconcilerError, match=r"zone b\.example is not in this account; correct DNS_ALLOWED_ZONES"):
            await check()
    accounts.zones.add("b.example")
    assert await check() == "zones example.com, b.example are in the account"


async def test_a_pattern_is_no_zone_to_ask_for() -> None:
    accounts = Accounts("example.com")
    assert await godaddy_check(accounts, "*,*.example.net;team-a=example.com")() == "zone example.com is in the account"
    assert accounts.asked == ["v1/domains/example.com"]


@pytest.mark.parametrize("allowed", ["", "team-a=", "*", "team-a=*.example.net"])
async def test_without_the_name_of_a_zone_godaddy_is_not_asked(allowed: str) -> None:
    accounts = Accounts()
    assert "not asked" in await godaddy_check(accounts, allowed)()
    assert accounts.asked == []


async def test_many_zones_are_asked_for_in_turn_and_spare_the_budget() -> None:
    names = [f"{letter}.example" for letter in "abcdefg"]
    accounts = Accounts(*names[:-1])
    check = godaddy_check(accounts, ",".join(names))
    assert await check() == (
        "zones a.example, b.example, c.example are in the account; "
        "zones d.example, e.example, f.example, g.example are asked for next"
    )
    assert len(accounts.asked) == 3
    await check()
    for asked in (9, 12):
        with pytest.raises(ValidationError, match=r"zone g\.example is not"):
            await check()
        assert len(accounts.asked) == asked
    small = Accounts(*names)
    await godaddy_check(small, ",".join(names), godaddy_request_budget=20)()
    assert len(small.asked) == 1


async def test_a_zone_without_an_answer_is_asked_for_again_first() -> None:
    accounts = Accounts("a.example", "b.example", "c.example", "d.example")
    accounts.ill.add("b.example")
    check = godaddy_check(accounts, "a.example,b.example,c.example,d.example")
    for _ in range(3):
        with pytest.raises(ExternalServiceError):
            await check()
    assert [path[-9:] for path in accounts.asked] == ["a.example", *["b.example"] * 3]


async def test_docker_hub_is_asked_for_an_allowed_namespace_where_none_is_the_default() -> None:
    accounts = Accounts()
    changes = {"dockerhub_namespace": None, "dockerhub_username": "acmebot"}
    allowed = AllowList.parse("*;team-a=acme-*,acme")
    found = await vendor_checks(accounts, **changes, allowed_registry_namespaces=allowed)["dockerhub_connection"]()
    assert found == "namespace acme can be read"
    assert accounts.asked == ["v2/auth/token", "v2/namespaces/acme/repositories"]


@pytest.mark.parametrize("allowed", ["", "*", "team-a=acme-*"])
async def test_without_the_name_of_a_namespace_the_login_at_docker_hub_is_tried(allowed: str) -> None:
    changes = {
        "dockerhub_namespace": None,
        "dockerhub_username": "acmebot",
        "allowed_registry_namespaces": AllowList.parse(allowed),
    }
    accounts = Accounts()
    assert await vendor_checks(accounts, **changes)["dockerhub_connection"]() == "it takes our login"
    accounts.takes_login = False
    with pytest.raises(CredentialsError):
        await vendor_checks(accounts, **changes)["dockerhub_connection"]()


async def test_docker_hub_is_left_alone_where_no_project_can_have_images_there() -> None:
    accounts = Accounts()
    found = await vendor_checks(accounts, dockerhub_namespace=None)["dockerhub_connection"]()
    assert "not asked" in found
    assert accounts.asked == []
