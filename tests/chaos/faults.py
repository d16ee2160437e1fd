"""What a service can do to one call, and to all reads for a while."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from standins.controls import Call, Kind
from testbed.api_proxy import Staleness
from testbed.stage import Stage
from testbed.stage_cluster import KINDS

from .plans import Happened, Plan
from .project import Project
from .scenario import Reference
from .writes import Asked, matcher, triggers_a_build


@dataclass(frozen=True)
class Failure:
    """What a service does to one call."""

    name: str
    kind: Kind | int
    after_effect: bool = False
    retry_after: str | None = None


FAILURES = (
    Failure("no answer, after the effect", "timeout", after_effect=True),
    Failure("connection reset, before the effect", "reset"),
    Failure("500, before the effect", 500),
    Failure("500, after the effect", 500, after_effect=True),
    Failure("429 with Retry-After", 429, retry_after="1"),
    Failure("401 once", 401),
    Failure("HTML page with status 200", "html"),
    Failure("body cut short, after the effect", "truncated", after_effect=True),
)
LAG = timedelta(seconds=1.5)
STALE_FOR = timedelta(seconds=3)
STALENESS: dict[Staleness, str] = {
    "old": "API server: old lists and objects, no events",
    "late": "API server: events late, out of order with those of other kinds",
    "lost": "API server: events lost, the watch cut",
}


def fault_plans(reference: Reference, rotation: Iterator[int], *, full: bool = False) -> Iterator[Plan]:
    """One failure in rotation for each call template, all of them where a build is triggered; or all at each call."""
    seen: set[tuple[str, str, str]] = set()
    for call in reference.asked:
        template = (call.service, call.method, call.template)
        every = full or triggers_a_build(call)
        if not every and template in seen:
            continue
        seen.add(template)
        for failure in FAILURES if every else [FAILURES[next(rotation) % len(FAILURES)]]:
            yield Plan(reference.scenario, failure.name, str(call), fail_at(call, failure), call)


def fail_at(what: Asked, failure: Failure) -> Callable[[Project], Happened]:
    """Lets this one call fail so."""

    def arm(project: Project) -> Happened:
        fault = project.lane.controls[what.service].fault(
            what.method,
            "",
            failure.kind,
            after_effect=failure.after_effect,
            retry_after=failure.retry_after,
            only=nth(matcher(what, project.name), what.nth),
        )
        return lambda: fault.fired > 0

    return arm


def nth(matches: Callable[[Call], bool], number: int) -> Callable[[Call], bool]:
    """True once: for the call of this number (from 1) among those that match."""
    seen = itertools.count(1)
    return lambda call: matches(call) and next(seen) == number


def lag_plans(reference: Reference) -> Iterator[Plan]:
    """Each vendor's reads show the past, for the whole phase."""
    for vendor in ("jenkins", "argocd", "dockerhub", "godaddy"):
        yield Plan(reference.scenario, "stale reads of a vendor", f"{vendor}, {LAG}", _lagging(vendor))


def _lagging(vendor: str) -> Callable[[Project], Happened]:
    def arm(project: Project) -> Happened:
        set_lag(project.stage, vendor, LAG)
        return lambda: True

    return arm


def set_lag(stage: Stage, vendor: str, lag: timedelta) -> None:
    """From now on, until the lane is calmed."""
    match vendor:
        case "jenkins":
            stage.jenkins.lag = lag
        case "argocd":
            stage.argocd.state.lag = lag
        case "dockerhub":
            stage.hub.lag = lag
        case "godaddy":
            stage.godaddy.lag = lag.total_seconds()


def stale_plans(reference: Reference, rotation: Iterator[int], *, full: bool = False) -> Iterator[Plan]:
    """Each of our kinds as the API server of some seconds ago shows it: one way in rotation, or all."""
    ways = list(STALENESS)
    for plural in KINDS:
        for way in ways if full else [ways[next(rotation) % len(ways)]]:
            yield Plan(reference.scenario, STALENESS[way], plural, _stale(plural, way))


def _stale(plural: str, way: Staleness) -> Callable[[Project], Happened]:
    def arm(project: Project) -> Happened:
        proxy, loop = project.lane.proxy, asyncio.get_running_loop()
        before = proxy.stale
        proxy.disturb(plural, way)
        loop.call_later(STALE_FOR.total_seconds(), proxy.thaw)
        return lambda: proxy.stale > before

    return arm
