"""cleanup_application_resources: a report per resource, and one that fails delays no other."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from devops_reconciler.api.errors import ExternalServiceError
from devops_reconciler.engine.ledger import Entry, EntryState, Ledger
from devops_reconciler.engine.lifecycle import ResourceLifecycleManager
from devops_reconciler.engine.resource import ABSENT, Intent, Observation, Resource
from devops_reconciler.kinds.cleanup import ArgoApplicationInfo, CleanupReport, cleanup_application_resources
from devops_reconciler.runtime.clock import FakeClock

ME = "freeleaps:00000000:000000000000000000000000"


class Shelf:
    """Things by name; those in `ill` cannot be asked for, those in `stuck` do not go."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.ill: set[str] = set()
        self.stuck: set[str] = set()


class Thing(Resource[Shelf]):
    service: ClassVar[str] = "shelf"

    name: str

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: Shelf, me: str, intent: Intent | None) -> Observation:
        if self.name in world.ill:
            raise ExternalServiceError("shelf: no answer", service="shelf")
        return Observation(exists=True, owner=me) if self.name in world.names else ABSENT

    async def delete(self, world: Shelf, me: str, seen: Observation) -> None:
        if self.name not in world.stuck:
            world.names.discard(self.name)


class OtherThing(Thing):
    """Another type of thing, to be skipped."""


async def saved() -> None:
    """A status store that always takes it."""


def ledger_of(*things: Thing) -> Ledger:
    return Ledger(
        [
            Entry(step=t.name, kind=type(t).__name__, key=t.key, value=t.value(), state=EntryState.ACTIVE, seen=True)
            for t in things
        ]
    )


def application(shelf: Shelf, clock: FakeClock, name: str, *things: Thing) -> ArgoApplicationInfo:
    lifecycle = ResourceLifecycleManager(shelf, clock, ME, {"Thing": Thing, "OtherThing": OtherThing})
    return ArgoApplicationInfo(name, ledger_of(*things), lifecycle, saved, clock.now())  # type: ignore[arg-type]


def states(report: CleanupReport) -> dict[str, str]:
    return {item.name: item.state for item in report.resources}


async def test_every_resource_is_removed_and_reported() -> None:
    shelf, clock = Shelf("a", "b"), FakeClock()
    report = await cleanup_application_resources(
        [application(shelf, clock, "shop", Thing(name="a"), Thing(name="b"))], clock=clock
    )
    assert shelf.names == set()
    assert states(report) == {"a": "cleaned", "b": "cleaned"}
    assert report.clean


async def test_a_failing_application_does_not_delay_another() -> None:
    shelf, clock = Shelf("a", "b"), FakeClock()
    shelf.ill = {"a"}
    apps = [application(shelf, clock, name, Thing(name=name)) for name in ("a", "b")]
    report = await cleanup_application_resources(apps, clock=clock)
    assert states(report) == {"a": "cleanup_failed", "b": "cleaned"}
    assert not report.clean
    assert shelf.names == {"a"}


async def test_skipped_types_are_left_where_they_are() -> None:
    shelf, clock = Shelf("a", "b"), FakeClock()
    apps = [application(shelf, clock, "shop", Thing(name="a"), OtherThing(name="b"))]
    report = await cleanup_application_resources(apps, ("OtherThing",), clock=clock)
    assert shelf.names == {"b"}
    assert report.clean
    assert next(item for item in report.resources if item.name == "b").detail == "skipped on request"


async def test_what_is_not_gone_in_time_is_reported_and_tried_again() -> None:
    shelf, clock = Shelf("a"), FakeClock()
    shelf.stuck = {"a"}
    app = application(shelf, clock, "shop", Thing(name="a"))
    report = await cleanup_application_resources([app], cleanup_timeout=timedelta(minutes=5), clock=clock)
    assert states(report) == {"a": "active"}
    clock.advance(timedelta(minutes=5))
    report = await cleanup_application_resources([app], cleanup_timeout=timedelta(minutes=5), clock=clock)
    assert states(report) == {"a": "cleanup_failed"}
    assert "not gone after 300 s" in report.resources[0].detail
    shelf.stuck = set()
    clock.advance(timedelta(minutes=1))
    report = await cleanup_application_resources([app], cleanup_timeout=timedelta(minutes=5), clock=clock)
    assert states(report) == {"a": "cleaned"}
