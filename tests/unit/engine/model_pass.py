"""Passes of the real engine as a tree: each node is what a pass waits for after the answers that it has had so far.

A pass is a function of the object that it has loaded, of the answers to its requests and of the time between them. So
it runs once for each such history, however many states of the model share it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

from devops_reconciler.api.errors import ConflictError, ExternalServiceError, ReconcilerError, ValidationError
from devops_reconciler.engine.ledger import Ledger
from devops_reconciler.engine.outcome import Outcome
from devops_reconciler.engine.pipeline import Step
from devops_reconciler.engine.window import ACT_WITHIN
from devops_reconciler.runtime.clock import FakeClock

from .host import Host, SaveConflict, Stored, kept
from .model_world import ME, Breach, BuildsClient, Request, ShelfClient, TagsClient, ZoneClient, ask
from .things import Spec
from .world import Outside

TICK = timedelta(seconds=5)
START = datetime(2026, 1, 1, tzinfo=UTC)
OLDEST = 5
"""Ticks; what is older is as old as that: no settle time of the model is longer."""

Plan = Callable[[Spec, Ledger], list[Step[Outside]]]


class Loaded(NamedTuple):
    """The object as a pass loads it. Times in the ledger are so many ticks before START."""

    applied: str
    spec: int
    deleting: bool


@dataclass(frozen=True)
class Answer:
    """What came of a request, and how many ticks after it was made. `error` instead of a value."""

    value: Hashable = None
    error: str | None = None
    ticks: int = 0


def raised(error: str, request: Request) -> Exception:
    """The exception that an answer means."""
    match error:
        case "lost":
            return ExternalServiceError(f"{request}: no reply", service=request.service)
        case "surely nothing":
            return ExternalServiceError(f"{request}: 429", service=request.service, maybe_applied=False)
        case "conflict":
            return ConflictError(f"{request}: 409")
        case "missing":
            return ValidationError(f"{request}: its parent or itself is not there")
        case "stale":
            return SaveConflict()
    raise LookupError(error)


@dataclass(eq=False)
class Node:
    """A pass that waits for an answer, or has ended (`request` None)."""

    number: int
    loaded: Loaded
    request: Request | None
    elapsed: int
    """Ticks from the beginning of the pass until this request."""
    path: tuple[Answer, ...] = ()
    asked: tuple[Request, ...] = ()
    saved: str = ""
    """The ledger of the last save of this pass that has gone through."""
    saved_at: int = 0
    wants_more: bool = False
    """For an end: the host would look again though nothing changes."""
    children: dict[Answer, Node] = field(default_factory=dict)
    work: _Running | None = None


@dataclass(eq=False)
class _Running:
    work: Coroutine[Request, Any, timedelta | None]
    clock: FakeClock
    object: _Object


@dataclass(frozen=True)
class _Object(Stored):
    """The object of one pass, that shows the ledger which the pass works on."""

    ledgers: list[Ledger] = field(default_factory=list)

    def ledger(self) -> Ledger:
        self.ledgers.append(super().ledger())
        return self.ledgers[-1]


class _Outside:
    """The clients of the model, in the place of the services of the tests."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.items = ShelfClient("items")
        self.apps = ShelfClient("apps")
        self.builds = BuildsClient()
        self.tags = TagsClient()
        self.zone = ZoneClient()


class _Store:
    """Saves by request; the object is the one that was loaded."""

    def __init__(self, it: Stored) -> None:
        self._object = it

    def load(self) -> Stored:
        return self._object

    async def save(self, mine: Stored) -> Stored:
        await ask(Request("api", "save", "object", mine.applied))
        return mine

    async def finish(self, mine: Stored) -> None:
        await ask(Request("api", "finish", "object"))


class _Host(Host):
    """The host of the tests, without conditions: they decide nothing."""

    steps: Plan

    def plan(self, it: Stored, ledger: Ledger) -> list[Step[Outside]]:
        return self.steps(it.spec, ledger)

    async def _report(self, it: Stored, ledger: Ledger, outcome: Outcome) -> bool:
        applied, now = json.dumps(kept(ledger.dump())), self.world.clock.now()
        if aged(applied, now) == aged(it.applied, now):
            return False
        await self.store.save(replace(it, applied=applied))
        return True


def aged(applied: str, now: datetime) -> str:
    """The ledger as a pass loads it that begins `now`, where `now` becomes START.

    What decides nothing is left out: how often it was tried, since when it is waited for, what the last removal or the
    last refusal said.
    """
    entries = json.loads(applied)
    for entry in entries:
        for name in ("attempts", "note", "refused", "finished_at", "started_at"):
            entry.pop(name, None)
        if "absent_since" in entry:
            entry["absent_since"] = _shifted(entry["absent_since"], now)
        if "doubted_at" in entry:
            # However long ago: that it was made more than once counts as long as it is there.
            entry["doubted_at"] = _shifted(entry["doubted_at"], now)
        if "intent" in entry:
            entry["intent"] = {**entry["intent"], "at": _shifted(entry["intent"]["at"], now)}
    return json.dumps(entries, sort_keys=True)


def _shifted(moment: str, now: datetime) -> str:
    ticks = round((now - datetime.fromisoformat(moment)) / TICK)
    return (START - TICK * max(0, min(ticks, OLDEST))).isoformat()


class Passes:
    """All passes of one scenario that were ever needed."""

    def __init__(self, steps: Plan, specs: tuple[Spec, ...]) -> None:
        self._steps = steps
        self._specs = specs
        self._begun: dict[Loaded, Node] = {}
        self._known: dict[Hashable, Node] = {}
        self.nodes: list[Node] = []

    def begin(self, loaded: Loaded) -> Node:
        """A pass over this object, at its first request."""
        node = self._begun.get(loaded)
        if node is None:
            running = self._start(loaded)
            node = self._begun[loaded] = self._advance(running, None, loaded, 0, (), ())
        return node

    def answered(self, node: Node, answer: Answer) -> Node:
        """Where the pass is after this answer."""
        child = node.children.get(answer)
        if child is None:
            running, node.work = node.work or self._replayed(node), None
            assert node.request is not None
            asked = (*node.asked, node.request)
            running.clock.advance(TICK * answer.ticks)
            elapsed = node.elapsed + answer.ticks
            child = self._advance(running, answer, node.loaded, elapsed, (*node.path, answer), asked, node)
            node.children[answer] = child = self._known.setdefault(self._memory(child, running), child)
        return child

    def _memory(self, node: Node, running: _Running) -> Hashable:
        """All that the pass knows here. How the time has spread over earlier answers is no part of it."""
        if node.request is None:
            return None, node.wants_more
        answers = tuple((answer.value, answer.error) for answer in node.path)
        ledger = aged(json.dumps(kept(running.object.ledgers[-1].dump())), running.clock.now())
        return node.loaded, node.asked, answers, node.request, node.elapsed, node.saved_at, node.saved, ledger

    def _start(self, loaded: Loaded) -> _Running:
        clock = FakeClock(START)
        world = cast(Outside, _Outside(clock))
        it = _Object(self._specs[loaded.spec], applied=loaded.applied, deleting=loaded.deleting)
        host = _Host(world, cast(Any, _Store(it)))
        host.steps = self._steps
        return _Running(cast(Any, host.look()), clock, it)

    def _replayed(self, node: Node) -> _Running:
        running = self._start(node.loaded)
        _resume(running, None, None)
        for request, answer in zip(node.asked, node.path, strict=True):
            running.clock.advance(TICK * answer.ticks)
            _resume(running, answer, request)
        return running

    def _advance(
        self,
        running: _Running,
        answer: Answer | None,
        loaded: Loaded,
        elapsed: int,
        path: tuple[Answer, ...],
        asked: tuple[Request, ...],
        before: Node | None = None,
    ) -> Node:
        request, after = _resume(running, answer, asked[-1] if asked else None)
        node = Node(len(self.nodes) + 1, loaded, request, elapsed, path, asked)
        node.wants_more = request is None and after is not None
        node.work = running if request is not None else None
        if before is not None:
            node.saved, node.saved_at = before.saved, before.saved_at
            last = before.request
            if last is not None and last.verb == "save" and answer is not None and answer.error is None:
                node.saved, node.saved_at = last.argument, before.elapsed
        if request is not None and _acts(request):
            assert_lawful(node, request)
        self.nodes.append(node)
        return node


def _resume(running: _Running, answer: Answer | None, request: Request | None) -> tuple[Request | None, Any]:
    """Run to the next request; None, and when to look again, at the end."""
    try:
        if answer is not None and answer.error is not None:
            assert request is not None
            return running.work.throw(raised(answer.error, request)), None
        return running.work.send(None if answer is None else answer.value), None
    except StopIteration as end:
        return None, end.value
    except (SaveConflict, ReconcilerError):
        return None, TICK


OPS = {"create": "create", "trigger": "create", "patch": "update", "delete": "delete", "stop": "delete"}


def _acts(request: Request) -> bool:
    """A write, or the read that a write begins with."""
    return request.service != "api" and (request.writes or request.verb == "fresh")


def assert_lawful(node: Node, request: Request) -> None:
    """A write follows a save of its own intent, not long ago, and a look that told enough."""
    entry = next((e for e in json.loads(node.saved or "[]") if _is_of(e, request)), {})
    intent = entry.get("intent")
    if intent is None:
        raise Breach(f"{request}: no intent of it was saved before")
    if request.verb in OPS and intent["op"] != OPS[request.verb]:
        raise Breach(f"{request}: what was saved was to {intent['op']}")
    begun = any(_acts(asked) and _is_of(entry, asked) for asked in node.asked)
    if (node.elapsed - node.saved_at) * TICK > timedelta(seconds=ACT_WITHIN) and not begun:
        raise Breach(f"{request}: its intent was saved {node.elapsed - node.saved_at} ticks ago")
    looks = [
        answer
        for asked, answer in zip(node.asked, node.path, strict=True)
        if asked.key == request.key and not asked.writes
    ]
    if not looks or looks[-1].error is not None:
        raise Breach(f"{request}: it was not looked at, or the look has failed")
    there = looks[-1].value
    match request.verb:
        case "create" | "trigger" if there not in (None, ()):
            raise Breach(f"{request}: it was there")
        case "patch" | "delete" | "stop" if there in (None, ()):
            raise Breach(f"{request}: it was not there")
    if request.verb in ("patch", "delete") and request.service != "tags" and cast(Any, there)[0] != ME:
        raise Breach(f"{request}: it did not carry our mark")


def _is_of(entry: dict[str, Any], request: Request) -> bool:
    if request.service == "tags":
        return entry["kind"].endswith("Image")
    return bool(entry["key"] == request.name.removesuffix("/mark")) and not entry["kind"].endswith("Image")
