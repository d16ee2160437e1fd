"""The breaker with the real clients: what of a service's conduct opens it, and what it spares the service then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import timedelta

import pytest
from aiohttp import web

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import CredentialsError, ExternalServiceError, ReconcilerError, ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.health import HealthChecker
from devops_reconciler.runtime.settings_lists import GitHost
from devops_reconciler.services.argocd import ArgoCD, TokenAuth
from devops_reconciler.services.breaker import CircuitBreaker, State
from devops_reconciler.services.breakers import Breakers
from devops_reconciler.services.budget import RequestBudget
from devops_reconciler.services.dockerhub import DockerHub
from devops_reconciler.services.git import Git, GitCredentials
from devops_reconciler.services.godaddy import GoDaddy
from devops_reconciler.services.http import AiohttpTransport, Http
from devops_reconciler.services.jenkins import Jenkins
from devops_reconciler.services.registry import Registry
from standins.argocd import ArgoCDStandin
from standins.controls import Controls, Kind
from standins.dockerhub import DockerHubStandin
from standins.godaddy import GoDaddyStandin
from standins.jenkins import JenkinsStandin
from testbed.git_server import Credentials, GitServer
from testbed.sample import SampleProject
from testbed.waiting import eventually

from .registry_pushing import Pusher

MINUTE = timedelta(minutes=1)
NO_REPOSITORY = "http://127.0.0.1:1/shop.git"


@dataclass
class Guarded:
    """A service behind its breaker: `ask` is a read of its client's, `controls` are those of what is asked."""

    breaker: CircuitBreaker
    controls: Controls
    clock: FakeClock
    ask: Callable[[], Awaitable[object]]

    async def asked(self, times: int = 1) -> list[ReconcilerError]:
        """The errors of so many questions, one after the other."""
        found = []
        for _ in range(times):
            with pytest.raises(ReconcilerError) as caught:
                await self.ask()
            found.append(caught.value)
        return found

    @property
    def requests(self) -> int:
        return len(self.controls.calls)


@dataclass
class Services:
    """Stand-ins and clients that are made as they are needed, on one clock and one pool."""

    stack: AsyncExitStack
    transport: AiohttpTransport
    clock: FakeClock
    breakers: Breakers
    timeout: timedelta = timedelta(seconds=5)

    def http(self, service: str, url: str, budget: RequestBudget | None = None) -> Http:
        breaker = self.breakers.of(service)
        return Http(service, url, self.transport, self.clock, timeout=self.timeout, breaker=breaker, budget=budget)

    def guarded(self, service: str, controls: Controls, ask: Callable[[], Awaitable[object]]) -> Guarded:
        return Guarded(self.breakers.of(service), controls, self.clock, ask)

    async def jenkins_client(self, budget: RequestBudget | None = None) -> tuple[Jenkins, JenkinsStandin]:
        standin = await self.stack.enter_async_context(JenkinsStandin(build_seconds=0))
        http = self.http("jenkins", standin.url, budget)
        return Jenkins(http, username=lambda: standin.username, token=lambda: standin.token), standin

    async def jenkins(self) -> Guarded:
        client, standin = await self.jenkins_client()
        return self.guarded("jenkins", standin.controls, client.version)

    async def argocd_client(self) -> tuple[ArgoCD, ArgoCDStandin]:
        standin = await self.stack.enter_async_context(ArgoCDStandin())
        token = standin.api_token("admin")
        return ArgoCD(self.http("argocd", standin.url), TokenAuth(lambda: token)), standin

    async def argocd(self) -> Guarded:
        client, standin = await self.argocd_client()
        return self.guarded("argocd", standin.controls, lambda: client.application("shop", "shop"))

    async def dockerhub(self) -> Guarded:
        standin = await self.stack.enter_async_context(DockerHubStandin("acme", "secret", clock=self.clock))
        http = self.http("dockerhub", standin.url)
        client = DockerHub(http, username=lambda: "acme", secret=lambda: "secret", clock=self.clock)
        return self.guarded("dockerhub", standin.controls, lambda: client.repository("acme", "shop"))

    async def registry(self) -> Guarded:
        standin = await self.stack.enter_async_context(DockerHubStandin("acme", "secret", clock=self.clock))
        await Pusher(standin.registry_url, "acme/shop", "acme", "secret").push_image("v1")
        http = self.http("registry", standin.registry_url)
        client = Registry(http, username=lambda: "acme", secret=lambda: "secret", clock=self.clock)
        return self.guarded("registry", standin.registry.controls, lambda: client.digest("acme/shop", "v1"))

    async def godaddy(self) -> Guarded:
        standin = await self.stack.enter_async_context(
            GoDaddyStandin(["example.test"], 1, credentials=("key", "secret"), per_minute=100_000, clock=self.clock)
        )
        client = GoDaddy(
            self.http("godaddy", standin.url), key=lambda: "key", secret=lambda: "secret", clock=self.clock
        )
        return self.guarded("godaddy", standin.controls, lambda: client.records("example.test", "A", "shop"))

    async def named(self, service: str) -> Guarded:
        made: Guarded = await getattr(self, service)()
        return made


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    clock, transport = FakeClock(), AiohttpTransport()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        yield Services(stack, transport, clock, Breakers(clock))


EACH = pytest.mark.parametrize("service", ["jenkins", "argocd", "dockerhub", "registry", "godaddy"])


# What opens it


@EACH
@pytest.mark.parametrize("kind", [503, "html"])
async def test_five_failures_open_it_and_then_the_service_hears_nothing_more(
    services: Services, service: str, kind: Kind | int
) -> None:
    it = await services.named(service)
    it.controls.fault("*", "", kind, times=None)
    await it.asked(5)
    assert (it.breaker.state, it.breaker.failures) == (State.OPEN, 5)
    heard = it.requests
    for error in await it.asked(10):
        assert isinstance(error, ExternalServiceError)
        assert error.message.startswith(f"{service} has failed since 2026-01-01 00:00:00 UTC")
    assert it.requests == heard


@EACH
async def test_it_closes_by_itself_when_the_service_is_back(services: Services, service: str) -> None:
    it = await services.named(service)
    it.controls.down = True
    await it.asked(5)
    it.controls.down = False
    await it.asked()
    it.clock.advance(MINUTE)
    await it.ask()
    assert (it.breaker.state, it.breaker.failures) == (State.CLOSED, 0)


@pytest.mark.parametrize("kind", ["timeout", "reset", "truncated", "garbled", 500, 502, 504, 408])
async def test_each_kind_of_illness_counts(services: Services, kind: Kind | int) -> None:
    services.timeout = timedelta(seconds=0.2)
    it = await services.jenkins()
    it.controls.fault("*", "", kind, times=None)
    await it.asked(2)
    assert it.breaker.failures == 2


async def test_a_service_that_is_not_there_counts(services: Services) -> None:
    http = services.http("jenkins", "http://127.0.0.1:1")
    client = Jenkins(http, username=lambda: "u", token=lambda: "t")
    for _ in range(5):
        with pytest.raises(ExternalServiceError):
            await client.version()
    assert services.breakers.of("jenkins").state is State.OPEN


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
async def test_what_is_wrong_with_the_question_does_not_count(services: Services, status: int) -> None:
    client, standin = await services.jenkins_client()
    standin.controls.fault("*", "", 500, times=4)
    breaker = services.breakers.of("jenkins")
    for _ in range(4):
        with pytest.raises(ExternalServiceError):
            await client.item(("shop",))
    assert breaker.failures == 4
    standin.controls.fault("*", "", status)
    await asyncio.gather(client.item(("shop",)), return_exceptions=True)
    assert (breaker.state, breaker.failures) == (State.CLOSED, 0)


async def test_a_repository_that_argo_cd_cannot_read_is_no_illness_of_argo_cd(services: Services) -> None:
    client, _ = await services.argocd_client()
    for _ in range(6):
        with pytest.raises(ValidationError) as caught:
            await client.create_repository({"repo": NO_REPOSITORY})
        assert caught.value.reason is Reason.REPOSITORY_UNREADABLE
    assert services.breakers.of("argocd").state is State.CLOSED


async def test_a_429_stops_all_requests_and_leaves_the_breaker_alone(services: Services) -> None:
    client, standin = await services.jenkins_client(RequestBudget(services.clock, 600))
    standin.controls.fault("*", "", 429, retry_after="20")
    with pytest.raises(ExternalServiceError):
        await client.version()
    with pytest.raises(ExternalServiceError, match="not sent, because there were too many requests") as caught:
        await client.version()
    assert (caught.value.reason, caught.value.after) == (Reason.RATE_LIMITED, timedelta(seconds=20))
    assert len(standin.controls.calls) == 1
    assert services.breakers.of("jenkins").failures == 0
    services.clock.advance(timedelta(seconds=20))
    await client.version()


async def test_what_is_refused_takes_nothing_from_the_budget(services: Services) -> None:
    client, standin = await services.jenkins_client(RequestBudget(services.clock, 6, burst=5))
    standin.controls.fault("*", "", 503, times=5)
    for _ in range(50):
        with pytest.raises(ExternalServiceError):
            await client.version()  # without a budget left it would wait here for ever
    services.clock.advance(MINUTE)
    await client.version()


# The probe


async def test_of_many_that_come_at_once_after_the_timeout_one_goes(services: Services) -> None:
    it = await services.jenkins()
    it.controls.fault("*", "", 503, times=5)
    await it.asked(5)
    it.clock.advance(MINUTE)
    heard = it.requests
    results = await asyncio.gather(*(it.ask() for _ in range(20)), return_exceptions=True)
    refused = [each for each in results if isinstance(each, ExternalServiceError)]
    assert len(refused) == 19
    assert {each.reason for each in refused} == {Reason.BREAKER_OPEN}
    assert it.requests == heard + 1
    assert it.breaker.state is State.CLOSED


async def test_a_probe_that_is_given_up_leaves_its_place_to_the_next(services: Services) -> None:
    it = await services.jenkins()
    it.controls.fault("*", "", 503, times=5)
    await it.asked(5)
    said = (await it.asked())[0].message
    it.clock.advance(MINUTE)
    hanging = it.controls.fault("*", "", "timeout")
    probe = asyncio.ensure_future(it.ask())
    async with asyncio.timeout(10):
        await hanging.happened.wait()
    assert (await it.asked())[0].message == said
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert it.breaker.state is State.HALF_OPEN
    await it.ask()
    assert it.breaker.state is State.CLOSED


async def test_wrong_credentials_at_the_probe_show_that_the_service_lives(services: Services) -> None:
    it = await services.jenkins()
    it.controls.fault("*", "", 503, times=5)
    await it.asked(5)
    it.clock.advance(MINUTE)
    it.controls.fault("*", "", 401)
    assert isinstance((await it.asked())[0], CredentialsError)
    assert it.breaker.state is State.CLOSED


# Streams


@pytest.mark.parametrize("kind", [503, "html"])
async def test_a_watch_that_does_not_open_counts(services: Services, kind: Kind | int) -> None:
    client, standin = await services.argocd_client()
    standin.controls.fault("GET", "/api/v1/stream", kind, times=None)
    for _ in range(5):
        with pytest.raises(ExternalServiceError):
            await anext(client.watch_applications())
    assert services.breakers.of("argocd").state is State.OPEN
    heard = len(standin.controls.calls)
    with pytest.raises(ExternalServiceError, match="argocd has failed since "):
        await anext(client.watch_applications())
    assert len(standin.controls.calls) == heard


async def test_a_watch_that_is_silent_or_cut_does_not_count(services: Services) -> None:
    client, _ = await services.argocd_client()
    for _ in range(6):
        assert [event async for event in client.watch_applications(idle=timedelta(milliseconds=50))] == []
    assert services.breakers.of("argocd").failures == 0


async def test_a_gateway_that_gives_up_waiting_for_a_watch_to_begin_says_nothing_of_the_service(
    services: Services,
) -> None:
    client, standin = await services.argocd_client()
    standin.controls.fault("GET", "/api/v1/applications", 503, times=2)
    for _ in range(2):
        with pytest.raises(ExternalServiceError):
            await client.application("shop", "shop")
    standin.controls.fault("GET", "/api/v1/stream", 504, times=None)
    for _ in range(6):
        assert [event async for event in client.watch_applications()] == []
    breaker = services.breakers.of("argocd")
    assert (breaker.state, breaker.failures) == (State.CLOSED, 2)  # neither a failure more, nor forgiven


async def test_a_watch_that_is_silent_is_not_what_tries_the_service(services: Services) -> None:
    client, standin = await services.argocd_client()
    standin.controls.down = True
    for _ in range(5):
        with pytest.raises(ExternalServiceError):
            await anext(client.watch_applications())
    assert services.breakers.of("argocd").state is State.OPEN
    standin.controls.down = False
    services.clock.advance(MINUTE)

    async def watch() -> None:
        async with aclosing(client.watch_applications(idle=timedelta(minutes=10))) as events:
            await anext(events, None)

    async def open_there() -> bool:
        return bool(standin.state.watches)

    watching = asyncio.create_task(watch())
    await eventually(open_there, "the watch is open")
    assert await client.application("shop", "shop") is None
    assert services.breakers.of("argocd").state is State.CLOSED
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_a_watch_leaves_a_service_alone_that_still_is_ill(services: Services) -> None:
    client, standin = await services.argocd_client()
    standin.controls.fault("*", "", 503, times=None)
    for _ in range(5):
        with pytest.raises(ExternalServiceError):
            await anext(client.watch_applications())
    services.clock.advance(MINUTE)
    heard = len(standin.controls.calls)
    for _ in range(3):
        with pytest.raises(ExternalServiceError):
            await anext(client.watch_applications())
    assert [call.path for call in standin.controls.calls[heard:]] == ["/api/version"]
    assert services.breakers.of("argocd").state is State.OPEN


# Git


async def test_a_git_host_that_is_down_stops_no_other(services: Services) -> None:
    async with GitServer() as well:
        sample = await SampleProject.create(well, credentials=Credentials("reader", "secret"))
        login = GitCredentials("reader", "secret")
        hosts = [GitHost.parse(f"http://{well.address}"), GitHost.parse("http://127.0.0.1:1")]
        git = Git(hosts, services.clock, breaker_of=lambda host: services.breakers.of("git", host))
        for _ in range(5):
            with pytest.raises(ExternalServiceError):
                await git.resolve(NO_REPOSITORY, "main")
        with pytest.raises(ExternalServiceError, match=r"^git at 127\.0\.0\.1:1 has failed since "):
            await git.resolve(NO_REPOSITORY, "main")
        assert await git.resolve(sample.url, "main", login) == await sample.head()
        assert services.breakers.report()["git"]["state"] == "OPEN"


async def test_a_git_repository_that_is_not_there_or_closed_does_not_count(services: Services) -> None:
    async with GitServer() as server:
        sample = await SampleProject.create(server, credentials=Credentials("reader", "secret"))
        git = Git(
            [GitHost.parse(f"http://{server.address}")],
            services.clock,
            breaker_of=lambda host: services.breakers.of("git", host),
        )
        login = GitCredentials("reader", "secret")
        for url, credentials in ((sample.url, None), (sample.url.replace("shop", "other"), login)):
            for _ in range(3):
                with pytest.raises((ValidationError, CredentialsError)):
                    await git.resolve(url, "main", credentials)
        assert services.breakers.of("git", server.address).failures == 0


class StallingGitServer(GitServer):
    """Of what is in `silent` it says nothing; of what is in `slow` it tells the refs and never sends a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.silent: set[str] = set()
        self.slow: set[str] = set()

    async def _serve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.silent or (name in self.slow and b"command=fetch" in await request.read()):
            await asyncio.Event().wait()
        return await super()._serve(request)


@pytest.mark.parametrize(("kind", "failures"), [("slow", 0), ("silent", 1)])
async def test_a_git_repository_that_takes_too_long_counts_only_where_its_host_says_nothing_at_all(
    services: Services, kind: str, failures: int
) -> None:
    async with StallingGitServer() as server:
        sample = await SampleProject.create(server)
        getattr(server, kind).add("shop")
        git = Git(
            [GitHost.parse(f"http://{server.address}")],
            services.clock,
            timeout=timedelta(seconds=3),
            breaker_of=lambda host: services.breakers.of("git", host),
        )
        with pytest.raises(ExternalServiceError, match="not done within 3 s"):
            await git.resolve(sample.url, await sample.head())
        assert services.breakers.of("git", server.address).failures == failures


# Health


async def test_health_checks_ask_an_ill_service_no_more_than_its_breaker_allows(services: Services) -> None:
    it = await services.jenkins()
    health = HealthChecker(services.clock)

    async def check() -> str:
        return str(await it.ask())

    health.register("jenkins_connection", check, max_age=timedelta(seconds=1))
    it.controls.fault("*", "", 503, times=None)
    for _ in range(5):
        await health.run_health_checks()
        it.clock.advance(timedelta(seconds=2))
    heard = it.requests
    assert heard == 5
    for _ in range(5):
        result = (await health.run_health_checks())["jenkins_connection"]
        it.clock.advance(timedelta(seconds=2))
        assert not result.ok
        assert result.detail.startswith("jenkins has failed since ")
    assert it.requests == heard
