"""All breakers of the process: which there are, what they show, what they log."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta

import pytest

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.metrics import Metrics
from devops_reconciler.services.breaker import CircuitBreaker
from devops_reconciler.services.breakers import SERVICES, Breakers

MINUTE = timedelta(minutes=1)


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


@pytest.fixture
def shown() -> dict[str, str]:
    return {}


@pytest.fixture
def breakers(clock: FakeClock, shown: dict[str, str]) -> Breakers:
    return Breakers(clock, show=shown.__setitem__)


def test_every_service_is_shown_closed_from_the_start(breakers: Breakers, shown: dict[str, str]) -> None:
    assert set(SERVICES) == {"jenkins", "argocd", "dockerhub", "registry", "godaddy", "git"}
    assert shown == dict.fromkeys(SERVICES, "CLOSED")
    assert breakers.report() == {name: {"state": "CLOSED", "failures": 0, "opened_at": None} for name in SERVICES}


def test_each_service_and_host_has_one_breaker(breakers: Breakers) -> None:
    assert breakers.of("jenkins") is breakers.of("jenkins")
    assert breakers.of("git", "a.example.com") is not breakers.of("git", "b.example.com")
    with pytest.raises(KeyError):
        breakers.of("kubernetes")


def test_threshold_and_timeout_are_the_settings(clock: FakeClock) -> None:
    breaker = Breakers(clock, failure_threshold=3, timeout=timedelta(seconds=5)).of("argocd")
    assert (breaker.failure_threshold, breaker.timeout) == (3, timedelta(seconds=5))


async def test_the_report_follows_the_breaker(breakers: Breakers, clock: FakeClock, shown: dict[str, str]) -> None:
    jenkins = breakers.of("jenkins")
    clock.advance(timedelta(seconds=0.5))
    await fail(jenkins)
    assert breakers.report()["jenkins"] == {"state": "OPEN", "failures": 5, "opened_at": "2026-01-01T00:00:00Z"}
    assert json.loads(json.dumps(breakers.report()))["argocd"]["state"] == "CLOSED"
    assert shown["jenkins"] == "OPEN"
    clock.advance(MINUTE)
    await work(jenkins)
    assert breakers.report()["jenkins"] == {"state": "CLOSED", "failures": 0, "opened_at": None}
    assert shown["jenkins"] == "CLOSED"


async def test_a_service_with_several_hosts_shows_the_worst(
    breakers: Breakers, clock: FakeClock, shown: dict[str, str]
) -> None:
    one, two = breakers.of("git", "one.example.com"), breakers.of("git", "two.example.com")
    await fail(one, 2)
    assert breakers.report()["git"]["failures"] == 2
    await fail(two)
    assert (breakers.report()["git"]["state"], shown["git"]) == ("OPEN", "OPEN")
    clock.advance(MINUTE)
    await work(two)
    assert breakers.report()["git"] == {"state": "CLOSED", "failures": 2, "opened_at": None}
    assert shown["git"] == "CLOSED"


async def test_the_metric_has_the_state(clock: FakeClock) -> None:
    metrics = Metrics()
    breakers = Breakers(clock, show=metrics.breaker)
    await fail(breakers.of("godaddy"))
    text = metrics.exposition().decode()
    assert 'devops_reconciler_breaker_state{service="godaddy"} 2.0' in text
    assert 'devops_reconciler_breaker_state{service="git"} 0.0' in text


async def test_who_calls_nobody_any_more_shows_none_as_open_until_one_changes(clock: FakeClock) -> None:
    metrics = Metrics()
    breakers = Breakers(clock, show=metrics.breaker)
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
