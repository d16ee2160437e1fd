"""The life of one object, from its creation to its end, and how it must look in between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from devops_reconciler.engine.ledger import EntryState

from .host import Host, StatusStore, converge
from .line import Fault, Op
from .things import Spec
from .world import Lags, Outside, Thing

FOREIGN = {
    "app": (("198.51.100.1", 600), ("198.51.100.2", 7)),
    "app/mark": (("v=spf1 -all", 3600),),
    "www": (("192.0.2.1", 1),),
}
THEIRS = {"theirs": Thing("somebody", {"content": "not ours"}), "nobodys": Thing(None, {"content": "by hand"})}
STEPS = ("folder", "credentials", "job", "revision", "build", "image", "app", "release", "record", "alone")
NO_LAG = Lags()
LAG = Lags(*(timedelta(seconds=2),) * 4)


@dataclass
class Life:
    """One object from its creation to its end, in one world."""

    world: Outside
    store: StatusStore
    host: Host

    @classmethod
    def begin(cls, faults: dict[int, Fault] | None = None, lags: Lags = NO_LAG, spec: Spec | None = None) -> Life:
        world = Outside(lags)
        for name, values in FOREIGN.items():
            world.zone.place(name, *values)
        for path, thing in THEIRS.items():
            world.items.place(path, thing.owner, **thing.fields)
        world.line.faults = dict(faults or {})
        store = StatusStore(world, spec or Spec())
        return cls(world, store, Host(world, store))

    def set_up(self) -> None:
        converge(self.host)

    def end(self) -> None:
        self.store.delete()
        converge(self.host)

    def assert_set_up(self) -> None:
        """All as the spec says with our mark, one build, foreign values byte for byte, a complete ledger."""
        assert self.store.object is not None
        spec = self.store.object.spec
        same(self.world.inventory(), wanted(spec))
        same(len(self.world.builds.all), 1)
        entries = self.store.object.ledger().entries
        steps = [step for step in STEPS if step != "alone" or spec.alone]
        open_entries = [entry for entry in entries if entry.state is not EntryState.CLEANED]
        same([(entry.step, entry.state) for entry in open_entries], [(step, EntryState.ACTIVE) for step in steps])
        same([entry.intent for entry in entries], [None] * len(entries))
        self.assert_harmless()

    def assert_gone(self) -> None:
        """Nothing left over, and nothing of others touched."""
        same(self.store.object, None)
        items = {path: (thing.owner, thing.fields) for path, thing in THEIRS.items()}
        same(self.world.inventory(), {"items": items, "apps": {}, "tags": {}, "busy": 0, "zone": FOREIGN})
        self.assert_harmless()

    def assert_harmless(self) -> None:
        same(self.world.violations, [])
        assert len(self.world.builds.all) <= 1, f"{len(self.world.builds.all)} builds"

    def assert_once(self) -> None:
        """Nothing was made, lost and made again on the way."""
        for shelf in (self.world.items, self.world.apps):
            assert len(shelf.created) == len(set(shelf.created)), f"created twice: {shelf.created}"


def same(found: object, expected: object) -> None:
    """Equal, or an error that shows both."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in {**found, **expected}:
            same(found.get(name), expected.get(name))
    assert found == expected, f"\n   found {found}\nexpected {expected}"


def wanted(spec: Spec, me: str = "mark-u1") -> dict[str, Any]:
    """The inventory of the world when all is as the spec says."""
    zone = dict(FOREIGN)
    for name in {spec.host, *([spec.alone] if spec.alone else [])}:
        zone[name] = (*FOREIGN.get(name, ()), (spec.data, 600))
        zone[f"{name}/mark"] = (*FOREIGN.get(f"{name}/mark", ()), (f"owner={me}", 600))
    return {
        "items": {
            **{path: (thing.owner, thing.fields) for path, thing in THEIRS.items()},
            spec.folder: (me, {"content": ""}),
            f"{spec.folder}/git": (me, {"content": spec.password}),
            f"{spec.folder}/job": (me, {"content": spec.script}),
        },
        "apps": {spec.app: (me, {"source": "git", "image": "sha256:tag-u1"})},
        "tags": {"tag-u1": "sha256:tag-u1"},
        "busy": 0,
        "zone": zone,
    }


def set_up_ops(lags: Lags = NO_LAG) -> list[Op]:
    """The calls and saves of a life without trouble until all is set up."""
    life = Life.begin(lags=lags)
    life.set_up()
    return life.world.line.ops


def undisturbed(lags: Lags = NO_LAG) -> list[Op]:
    """All calls and saves of a life without trouble."""
    life = Life.begin(lags=lags)
    life.set_up()
    life.assert_set_up()
    life.end()
    life.assert_gone()
    return life.world.line.ops


def live(faults: dict[int, Fault], lags: Lags = NO_LAG, *, to_the_end: bool = True) -> None:
    """A life with these faults; not `to_the_end`: until it is set up, since what is as ever goes on as ever."""
    life = Life.begin(faults, lags)
    try:
        life.set_up()
        life.assert_set_up()
        life.assert_once()
        if to_the_end:
            life.end()
            life.assert_gone()
    except AssertionError as error:
        told = {number: (fault.name, life.world.line.ops[number].name) for number, fault in faults.items()}
        raise AssertionError(f"with {told}: {error}") from error
