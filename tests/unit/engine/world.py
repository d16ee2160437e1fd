"""An in-memory world of external services that take their time, under a `FakeClock`.

Each service keeps its whole past, so that reads can lag: they show the state of `lag` ago, while writes always act on
the present. What must never happen (a write to what is not ours) is noted in `violations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

from devops_reconciler.api.errors import ConflictError, ValidationError
from devops_reconciler.runtime.clock import FakeClock

from .line import Line

S = TypeVar("S")


class Past(Generic[S]):
    """The states of a service over time."""

    def __init__(self, clock: FakeClock, first: S) -> None:
        self._clock = clock
        self._states: list[tuple[float, S]] = [(float("-inf"), first)]

    @property
    def now(self) -> S:
        return self._states[-1][1]

    def put(self, state: S, at: float | None = None) -> None:
        self._states.append((self._clock.monotonic() if at is None else at, state))

    def before(self, lag: timedelta) -> S:
        """The state as readers see it."""
        shown = self._clock.monotonic() - lag.total_seconds()
        return next(state for at, state in reversed(self._states) if at <= shown)


@dataclass(frozen=True)
class Thing:
    """A named thing at a service."""

    owner: str | None
    fields: dict[str, str]
    gone_at: float | None = None
    """Set when it is being deleted: finalizers run until then."""


class Shelf:
    """A service that holds things by name: a name is refused twice, and a folder takes its contents along."""

    def __init__(
        self, name: str, line: Line, lag: timedelta = timedelta(0), finalizers: timedelta = timedelta(0)
    ) -> None:
        self.name = name
        self.past: Past[dict[str, Thing]] = Past(line.clock, {})
        self.created: list[str] = []
        self.gone: list[str] = []
        self.violations: list[str] = []
        self.may_adopt = False
        self._line = line
        self._lag = lag
        self._finalizers = finalizers

    def _tick(self) -> None:
        now = self._line.clock.monotonic()
        for key, thing in self.past.now.items():
            if thing.gone_at is not None and thing.gone_at <= now:
                rest = {k: t for k, t in self.past.now.items() if k != key and not k.startswith(f"{key}/")}
                self.past.put(rest, thing.gone_at)
                self.gone.append(key)

    def place(self, key: str, owner: str | None, **fields: str) -> None:
        """Somebody else puts it there."""
        self.past.put({**self.past.now, key: Thing(owner, fields)})

    def remove(self, key: str) -> None:
        """Somebody else removes it."""
        self.past.put({k: t for k, t in self.past.now.items() if k != key})

    @property
    def things(self) -> dict[str, Thing]:
        self._tick()
        return self.past.now

    async def get(self, key: str) -> Thing | None:
        def read() -> Thing | None:
            self._tick()
            return self.past.before(self._lag).get(key)

        return await self._line.call(f"{self.name} get", read)

    async def create(self, key: str, me: str, fields: dict[str, str]) -> None:
        def write() -> None:
            parent = key.rpartition("/")[0]
            if parent and parent not in self.things:
                raise ValidationError(f"{self.name}: {parent} is not there")
            if key in self.things:
                raise ConflictError(f"{self.name}: {key} exists already")
            self.past.put({**self.past.now, key: Thing(me, dict(fields))})
            self.created.append(key)

        await self._line.call(f"{self.name} create", write, writes=True)

    async def patch(self, key: str, me: str, fields: dict[str, str]) -> None:
        def write() -> None:
            thing = self.things.get(key)
            if thing is None:
                raise ValidationError(f"{self.name}: {key} is not there")
            if thing.owner != me and not self.may_adopt:
                self.violations.append(f"{self.name}: patched {key} of {thing.owner}")
            changed = replace(thing, owner=me, fields={**thing.fields, **fields})
            self.past.put({**self.past.now, key: changed})

        await self._line.call(f"{self.name} patch", write, writes=True)

    async def delete(self, key: str, me: str) -> None:
        def write() -> None:
            thing = self.things.get(key)
            if thing is None:
                return
            if thing.owner != me:
                self.violations.append(f"{self.name}: deleted {key} of {thing.owner}")
            if thing.gone_at is None:
                gone_at = self._line.clock.monotonic() + self._finalizers.total_seconds()
                self.past.put({**self.past.now, key: replace(thing, gone_at=gone_at)})
            self._tick()

        await self._line.call(f"{self.name} delete", write, writes=True)


class Tags:
    """A registry: tags come by pushes, not by us."""

    def __init__(self, line: Line, lag: timedelta = timedelta(0)) -> None:
        self.past: Past[dict[str, str]] = Past(line.clock, {})
        self._line = line
        self._lag = lag
        self.gone: list[str] = []

    def push(self, tag: str, digest: str, at: float) -> None:
        self.past.put({**self.past.now, tag: digest}, at)

    async def digest(self, tag: str) -> str | None:
        return await self._line.call("registry digest", lambda: self.past.before(self._lag).get(tag))

    async def delete(self, tag: str) -> None:
        def write() -> None:
            if tag in self.past.now:
                self.past.put({t: d for t, d in self.past.now.items() if t != tag})
                self.gone.append(tag)

        await self._line.call("registry delete", write, writes=True)


@dataclass(frozen=True)
class Run:
    """What readers see of one build."""

    number: int
    uid: str
    stage: str
    """queued, running, done or stopped."""


@dataclass
class _Build:
    number: int
    uid: str
    tag: str
    queued: float
    starts: float
    shows: float
    """Between the queue and the list of builds it is in neither."""
    ends: float
    stopped: float | None = None
    pushed: bool = False


@dataclass
class Builds:
    """A build service without uniqueness: each trigger makes a build, and it is found by its uid parameter only."""

    line: Line
    tags: Tags
    lag: timedelta = timedelta(0)
    waits: float = 3
    gap: float = 1
    takes: float = 8
    all: list[_Build] = field(default_factory=list)

    def tick(self) -> None:
        """Builds that came to their end have pushed their image."""
        for build in self.all:
            due = build.ends - 0.5
            lives = build.stopped is None or build.stopped > due
            if not build.pushed and lives and due <= self.line.clock.monotonic():
                build.pushed = True
                self.tags.push(build.tag, f"sha256:{build.tag}", due)

    def _stage(self, build: _Build, at: float) -> str | None:
        if at < build.queued:
            return None
        if build.stopped is not None and build.stopped <= at:
            return "stopped" if build.stopped >= build.starts else None
        if at < build.starts:
            return "queued"
        if at < build.shows:
            return None
        return "running" if at < build.ends else "done"

    @property
    def busy(self) -> int:
        """Builds that are queued or run."""
        now = self.line.clock.monotonic()
        return sum(1 for build in self.all if build.stopped is None and now < build.ends)

    async def find(self, uid: str) -> list[Run]:
        def read() -> list[Run]:
            self.tick()
            at = self.line.clock.monotonic() - self.lag.total_seconds()
            staged = ((build, self._stage(build, at)) for build in self.all if build.uid == uid)
            return [Run(build.number, uid, stage) for build, stage in staged if stage is not None]

        return await self.line.call("builds find", read)

    async def trigger(self, uid: str, tag: str) -> None:
        def write() -> None:
            now = self.line.clock.monotonic()
            starts = now + self.waits
            shows = starts + self.gap
            self.all.append(_Build(len(self.all) + 1, uid, tag, now, starts, shows, shows + self.takes))

        await self.line.call("builds trigger", write, writes=True)

    async def stop(self, number: int) -> None:
        def write() -> None:
            self.tick()
            build, now = self.all[number - 1], self.line.clock.monotonic()
            if build.stopped is None and now < build.ends:
                build.stopped = now

        await self.line.call("builds stop", write, writes=True)


Values = tuple[tuple[str, int], ...]
"""Values with their time to live, in the order in which the service keeps them."""


class Zone:
    """Record sets by name: a write replaces or deletes the whole set, foreign values included."""

    def __init__(self, line: Line, lag: timedelta = timedelta(0)) -> None:
        self.past: Past[dict[str, Values]] = Past(line.clock, {})
        self._line = line
        self._lag = lag

    def place(self, name: str, *values: tuple[str, int]) -> None:
        """Somebody else writes a set."""
        rest = {n: v for n, v in self.past.now.items() if n != name}
        self.past.put({**rest, name: values} if values else rest)

    async def read(self, name: str) -> Values:
        return await self._line.call("zone read", lambda: self.past.before(self._lag).get(name, ()))

    async def fresh(self, name: str) -> Values:
        """The set as it is: what a writer merges into must not lag."""
        return await self._line.call("zone read", lambda: self.past.now.get(name, ()))

    async def replace(self, name: str, values: Values) -> None:
        def write() -> None:
            rest = {n: v for n, v in self.past.now.items() if n != name}
            self.past.put({**rest, name: values} if values else rest)

        await self._line.call("zone replace", write, writes=True)


@dataclass(frozen=True)
class Lags:
    """How far the reads of each service are behind."""

    names: timedelta = timedelta(0)
    builds: timedelta = timedelta(0)
    tags: timedelta = timedelta(0)
    zone: timedelta = timedelta(0)


class Outside:
    """All services together."""

    def __init__(self, lags: Lags | None = None) -> None:
        lags = lags or Lags()
        self.clock = FakeClock()
        self.line = Line(self.clock)
        self.items = Shelf("items", self.line, lags.names)
        self.apps = Shelf("apps", self.line, lags.names, finalizers=timedelta(seconds=4))
        self.tags = Tags(self.line, lags.tags)
        self.builds = Builds(self.line, self.tags, lags.builds)
        self.zone = Zone(self.line, lags.zone)

    @property
    def violations(self) -> list[str]:
        return [*self.items.violations, *self.apps.violations]

    def inventory(self) -> dict[str, Any]:
        """Everything that is there, without times and numbers that may differ from run to run."""
        self.builds.tick()
        return {
            "items": {key: (t.owner, t.fields) for key, t in self.items.things.items()},
            "apps": {key: (t.owner, t.fields) for key, t in self.apps.things.items()},
            "tags": dict(self.tags.past.now),
            "busy": self.builds.busy,
            "zone": dict(self.zone.past.now),
        }

    def people(self, act: Callable[[Outside], None]) -> Callable[[], None]:
        """Something that other people do, as a hook of the line."""
        return lambda: act(self)
