"""All breakers of the process: which there are, what they show, what they log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.host.world import Clients, Replica
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.runtime.secrets import Secrets
from devops_reconciler.runtime.settings import Settings
from devops_reconciler.services.breaker import CircuitBreaker
from devops_reconciler.services.breakers import KEPT, SERVICES, Breakers

MINUTE = timedelta(minutes=1)
UNKNOWN = {"state": "CLOSED", "failures": 0, "opened_at": None}


async def fail(breaker: CircuitBreaker, times: int = 5) -> None:
    async def operation() -> None:
        raise ExternalServiceError(f"{breaker.name}: get thing: 503", service=breaker.name)

    for _ in range(times):
        with pytest.raises(ExternalServiceError):
            await breaker.call(operation)
    await asyncio.sleep(0)


async def work(breaker: CircuitBreaker) -> None:
    await breaker.call(lambda: asyncio.sleep(0))
    await asyncio.sleep(0)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Shown:
    """What a scrape would show by service."""

    def __init__(self) -> None:
        self._watched: dict[str, Callable[[], str]] = {}

    def watch(self, service: str, state: Callable[[], str]) -> None:
        self._watched[service] = state

    def __getitem__(self, service: str) -> str:
        return self._watched[service]()

    def all(self) -> dict[str, str]:
        return {service: state() for service, state in self._watched.items()}


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def breakers(clock: FakeClock, shown: Shown) -> Breakers:
    return Breakers(clock, forget_after=15 * MINUTE, show=shown.watch)


def test_every_service_is_shown_closed_from_the_start(breakers: Breakers, shown: Shown) -> None:
    assert set(SERVICES) == {"jenkins", "argocd", "dockerhub", "registry", "godaddy", "git"}
    assert shown.all() == dict.fromkeys(SERVICES, "CLOSED")
    assert breakers.report() == dict.fromkeys(SERVICES, UNKNOWN)


def test_each_service_and_host_has_one_breaker(breakers: Breakers) -> None:
    assert breakers.of("jenkins") is breakers.of("jenkins")
    assert breakers.of("git", "a.example.com") is not breakers.of("git", "b.example.com")
    with pytest.raises(KeyError):
        breakers.of("kubernetes")


def test_threshold_and_timeout_are_the_settings(clock: FakeClock) -> None:
    breaker = Breakers(clock, failure_threshold=3, timeout=timedelta(seconds=5)).of("argocd")
    assert (breaker.failure_threshold, breaker.timeout) == (3, timedelta(seconds=5))


async def test_the_report_follows_the_breaker(breakers: Breakers, clock: FakeClock, shown: Shown) -> None:
    jenkins = breakers.of("jenkins")
    clock.advance(timedelta(seconds=0.5))
    await fail(jenkins)
    assert breakers.report()["jenkins"] == {"state": "OPEN", "failures": 5, "opened_at": "2026-01-01T00:00:00Z"}
    assert json.loads(json.dumps(breakers.report()))["argocd"]["state"] == "CLOSED"
    assert shown["jenkins"] == "OPEN"
    clock.advance(MINUTE)
    await work(jenkins)
    assert breakers.report()["jenkins"] == UNKNOWN
    assert shown["jenkins"] == "CLOSED"


async def test_a_service_with_several_hosts_shows_the_worst(breakers: Breakers, clock: FakeClock, shown: Shown) -> None:
    one, two = breakers.of("git", "one.example.com"), breakers.of("git", "two.example.com")
    await fail(one, 2)
    assert breakers.report()["git"]["failures"] == 2
    await fail(two)
    assert (breakers.report()["git"]["state"], shown["git"]) == ("OPEN", "OPEN")
    clock.advance(MINUTE)
    await work(two)
    assert breakers.report()["git"] == {"state": "CLOSED", "failures": 2, "opened_at": None}
    assert shown["git"] == "CLOSED"


async def test_a_host_that_nobody_asks_any_more_counts_no_longer(clock: FakeClock) -> None:
    """As one that a project has mistyped: five failures open it, then its URL is corrected."""
    metrics = Metrics()
    breakers = Breakers(clock, show=metrics.watch_breaker)
    await fail(breakers.of("git", "git.exmaple.com"))
    assert breakers.report()["git"]["state"] == "OPEN"
    clock.advance(timedelta(days=1))
    assert breakers.report()["git"] == UNKNOWN
    assert 'devops_reconciler_breaker_state{service="git"} 0.0' in metrics.exposition().decode()


async def test_a_host_that_is_still_asked_stays_open(breakers: Breakers, clock: FakeClock, shown: Shown) -> None:
    await fail(breakers.of("git", "git.example.com"))
    for _ in range(100):
        clock.advance(15 * MINUTE)
        await fail(breakers.of("git", "git.example.com"), 1)
        assert (breakers.report()["git"]["state"], shown["git"]) == ("OPEN", "OPEN")


async def test_its_time_begins_when_its_timeout_is_over(clock: FakeClock) -> None:
    breakers = Breakers(clock, timeout=60 * MINUTE, forget_after=15 * MINUTE)
    await fail(breakers.of("git", "git.example.com"))
    clock.advance(74 * MINUTE)
    assert breakers.report()["git"]["state"] == "OPEN"
    clock.advance(MINUTE)
    assert breakers.report()["git"] == UNKNOWN


async def test_one_that_counted_no_longer_does_again_when_it_is_asked(
    breakers: Breakers, clock: FakeClock, shown: Shown
) -> None:
    """To those who ask nothing has changed: one request tries it, and one failure is enough."""
    git = breakers.of("git", "git.example.com")
    await fail(git)
    clock.advance(timedelta(days=1))
    assert shown["git"] == "CLOSED"
    await fail(breakers.of("git", "git.example.com"), 1)
    assert breakers.of("git", "git.example.com") is git
    assert (breakers.report()["git"]["failures"], shown["git"]) == (6, "OPEN")


async def test_failures_of_a_host_that_nobody_asks_hide_none_of_another(breakers: Breakers, clock: FakeClock) -> None:
    await fail(breakers.of("git", "old.example.com"))
    clock.advance(16 * MINUTE)
    await fail(breakers.of("git", "git.example.com"), 2)
    assert breakers.report()["git"] == {"state": "CLOSED", "failures": 2, "opened_at": None}


async def test_only_hosts_that_nobody_asks_are_dropped_to_make_room(breakers: Breakers, clock: FakeClock) -> None:
    old = [breakers.of("git", f"{number}.example.com") for number in range(KEPT)]
    clock.advance(timedelta(days=1))
    asked = breakers.of("git", "0.example.com")
    await work(asked)
    new = breakers.of("git", "new.example.com")
    assert breakers.of("git", "0.example.com") is asked is old[0]
    assert breakers.of("git", "new.example.com") is new
    assert breakers.of("git", "1.example.com") is not old[1]


@pytest.mark.parametrize("variable", ["poll_interval", "retry_external_delay"])
async def test_what_is_looked_at_as_often_as_the_settings_say_counts(variable: str, clock: FakeClock) -> None:
    times = {"poll_interval": "20", "retry_external_delay": "20", variable: "600"}
    needed = {"rabbitmq_host": "mq", "rabbitmq_port": 5672, "default_git_username": "git"}
    endpoints = {"jenkins_endpoint": "https://jenkins", "argocd_endpoint": "https://argo"}
    found = Settings.model_validate({**needed, **endpoints, **times})
    breakers = Clients(found, Secrets(found, {}, clock), clock, Metrics(), Replica()).breakers
    await fail(breakers.of("git", "git.example.com"))
    clock.advance(30 * MINUTE)
    assert breakers.report()["git"]["state"] == "OPEN"
    clock.advance(MINUTE)
    assert breakers.report()["git"] == UNKNOWN


async def test_the_metric_has_the_state(clock: FakeClock) -> None:
    metrics = Metrics()
    breakers = Breakers(clock, show=metrics.watch_breaker)
    await fail(breakers.of("godaddy"))
    text = metrics.exposition().decode()
    assert 'devops_reconciler_breaker_state{service="godaddy"} 2.0' in text
    assert 'devops_reconciler_breaker_state{service="git"} 0.0' in text


async def test_who_calls_nobody_any_more_shows_none_as_open_until_one_changes(clock: FakeClock) -> None:
    metrics = Metrics()
    breakers = Breakers(clock, show=metrics.watch_breaker)
    await fail(breakers.of("godaddy"))
    breakers.conceal()
    assert 'devops_reconciler_breaker_state{service="godaddy"} 0.0' in metrics.exposition().decode()
    clock.advance(MINUTE)
    await fail(breakers.of("godaddy"))
    assert 'devops_reconciler_breaker_state{service="godaddy"} 2.0' in metrics.exposition().decode()


async def test_each_change_is_one_log_line_and_the_opening_tells_its_cause(
    breakers: Breakers, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    git = breakers.of("git", "git.example.com")
    await fail(git)
    clock.advance(MINUTE)
    await work(git)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in lines] == ["WARNING", "INFO", "INFO"]
    opened, half, closed = (text for _, text in lines)
    for part in ("a breaker is open", "git.example.com", "'failures': 5", "git: get thing: 503"):
        assert part in opened
    assert "half open" in half
    assert "a breaker is closed" in closed
