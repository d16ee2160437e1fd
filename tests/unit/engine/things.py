"""Resources over the in-memory world, one for each way of being made, found, owned and removed; and their steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from devops_reconciler.api.policies import Adoption, DeletionPolicy, DriftPolicy, EffectivePolicy, ManagementPolicy
from devops_reconciler.engine.ledger import EntryState, Ledger
from devops_reconciler.engine.outcome import Facts
from devops_reconciler.engine.pipeline import Step
from devops_reconciler.engine.resource import ABSENT, Intent, Observation, Resource

from .world import Outside, Values


class ThingOutside(Resource[Outside]):
    """A resource of this world."""

    service: ClassVar[str] = "outside"


class Item(ThingOutside):
    """A named thing with one owned field. `path` is its name, with its folder before the slash."""

    path: str
    content: str = ""

    @property
    def key(self) -> str:
        return self.path

    def _fields(self) -> dict[str, str]:
        return {"content": self.content}

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        thing = await world.items.get(self.path)
        if thing is None:
            return ABSENT
        drift = tuple(name for name, value in self._fields().items() if thing.fields.get(name) != value)
        return Observation(exists=True, owner=thing.owner, drift=() if self.blind else drift)

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        await world.items.create(self.path, me, self._fields())

    async def update(self, world: Outside, me: str, seen: Observation) -> None:
        await world.items.patch(self.path, me, self._fields())

    async def delete(self, world: Outside, me: str, seen: Observation) -> None:
        await world.items.delete(self.path, me)


class Folder(Item):
    """Takes its contents along when it goes."""


class Secret(Item):
    """Its content cannot be read back."""

    blind: ClassVar[bool] = True


class Job(Item):
    """Can be read back and repaired."""


class App(ThingOutside):
    """Takes time to go."""

    name: str
    source: str
    branch: str | None
    """A value that may be null."""

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        thing = await world.apps.get(self.name)
        if thing is None:
            return ABSENT
        drift = () if thing.fields.get("source") == self.source else ("source",)
        return Observation(exists=True, owner=thing.owner, drift=drift, deleting=thing.gone_at is not None)

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        await world.apps.create(self.name, me, {"source": self.source})

    async def update(self, world: Outside, me: str, seen: Observation) -> None:
        await world.apps.patch(self.name, me, {"source": self.source})

    async def delete(self, world: Outside, me: str, seen: Observation) -> None:
        await world.apps.delete(self.name, me)


class Release(ThingOutside):
    """A field of an app that another resource makes."""

    made_elsewhere: ClassVar[bool] = True
    removable: ClassVar[bool] = False

    name: str
    image: str

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        thing = await world.apps.get(self.name)
        if thing is None:
            return Observation(message="the app is not there yet")
        drift = () if thing.fields.get("image") == self.image else ("image",)
        return Observation(exists=True, owner=thing.owner, drift=drift, deleting=thing.gone_at is not None)

    async def update(self, world: Outside, me: str, seen: Observation) -> None:
        await world.apps.patch(self.name, me, {"image": self.image})


class Revision(ThingOutside):
    """Only looked at."""

    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    removable: ClassVar[bool] = False

    name: str

    @property
    def key(self) -> str:
        return self.name

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        commit = await world.line.call("git resolve", lambda: f"c0ffee-{self.name}")
        return Observation(exists=True, facts={"commit": commit})


class Build(ThingOutside):
    """One build per uid, though the service would make as many as it is asked for."""

    once: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False
    settle: ClassVar[timedelta] = timedelta(seconds=45)

    uid: str
    tag: str

    @property
    def key(self) -> str:
        return self.uid

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        runs = await world.builds.find(self.uid)
        if not runs:
            return ABSENT
        run = min(runs, key=lambda found: found.number)
        done = run.stage in ("done", "stopped")
        return Observation(exists=True, ready=done, facts={"number": run.number}, message=run.stage)

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        await world.builds.trigger(self.uid, self.tag)

    async def delete(self, world: Outside, me: str, seen: Observation) -> None:
        await world.builds.stop(int(seen.facts["number"]))


class BuildStop(Build):
    """The same build, looked at for its removal: what counts is whether it still runs."""

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        seen = await super().observe(world, me, intent)
        return seen if seen.exists and not seen.ready else ABSENT


class Image(ThingOutside):
    """Pushed by the build, removed by us."""

    once: ClassVar[bool] = True
    made_elsewhere: ClassVar[bool] = True
    owned_by_mark: ClassVar[bool] = False

    tag: str

    @property
    def key(self) -> str:
        return self.tag

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        digest = await world.tags.digest(self.tag)
        return ABSENT if digest is None else Observation(exists=True, facts={"digest": digest})

    async def delete(self, world: Outside, me: str, seen: Observation) -> None:
        await world.tags.delete(self.tag)


class Record(ThingOutside):
    """One value beside foreign ones in a set that is only written whole. The mark is written after the value."""

    name: str
    data: str
    previous: tuple[str, ...] = ()
    """Values that we may have written before: taken out with or for the new one."""

    @property
    def key(self) -> str:
        return self.name

    def digest(self) -> str:
        return self.data

    async def observe(self, world: Outside, me: str, intent: Intent | None) -> Observation:
        values = [data for data, _ in await world.zone.read(self.name)]
        marks = [data for data, _ in await world.zone.read(f"{self.name}/mark") if data.startswith("owner=")]
        owner = marks[0].removeprefix("owner=") if marks else None
        before = intent.preimage if intent is not None else None
        written = {self.data, *self.previous} & set(values)
        if owner is None and written and before is not None and not written & set(before):
            drift = ("mark",) if self.data in values else ("data", "mark")
            return Observation(exists=True, owner=me, drift=drift, preimage=before)
        if owner is None and not values:
            return Observation(preimage=[])
        drift = () if self.data in values and not set(self.previous) & set(values) else ("data",)
        return Observation(exists=True, owner=owner, drift=drift, preimage=values, facts={"data": self.data})

    async def create(self, world: Outside, me: str, seen: Observation) -> None:
        await self._write(world, self.name, (self.data, 600), {self.data, *self.previous})
        await self._write(world, f"{self.name}/mark", (f"owner={me}", 600), {f"owner={me}"})

    async def update(self, world: Outside, me: str, seen: Observation) -> None:
        await self.create(world, me, seen)

    async def delete(self, world: Outside, me: str, seen: Observation) -> None:
        await self._write(world, self.name, None, {self.data, *self.previous})
        await self._write(world, f"{self.name}/mark", None, {f"owner={me}"})

    async def _write(self, world: Outside, name: str, value: tuple[str, int] | None, ours: set[str]) -> None:
        there = await world.zone.fresh(name)
        rest = tuple(item for item in there if item[0] not in ours)
        wanted: Values = rest if value is None else (*rest, value)
        if sorted(wanted) != sorted(there):
            await world.zone.replace(name, wanted)


CATALOG: dict[str, type[Resource[Any]]] = {
    "Folder": Folder,
    "Secret": Secret,
    "Job": Job,
    "App": App,
    "Release": Release,
    "Revision": Revision,
    "Build": BuildStop,
    "Image": Image,
    "Record": Record,
}

ALL = frozenset(ManagementPolicy)


def policy(
    management: frozenset[ManagementPolicy] = ALL,
    deletion: DeletionPolicy = DeletionPolicy.DELETE,
    adoption: Adoption = Adoption.NEVER,
    drift: DriftPolicy = DriftPolicy.REPAIR,
) -> EffectivePolicy:
    """The usual policies, unless said otherwise."""
    return EffectivePolicy(management=management, deletion=deletion, adoption=adoption, drift=drift)


DEFAULT = policy()


@dataclass(frozen=True)
class Spec:
    """What a user wants."""

    folder: str = "team"
    password: str = "v1"
    script: str = "Jenkinsfile"
    app: str = "shop"
    host: str = "app"
    """Of the record beside foreign values."""
    data: str = "203.0.113.7"
    alone: str | None = "api"
    """Of a second record, that has its name for itself and adopts nothing."""
    policy: EffectivePolicy = field(default=DEFAULT)


def steps(spec: Spec, uid: str, ledger: Ledger) -> list[Step[Outside]]:
    """Folder → credentials → job → revision → build → image → app → release → record → alone."""
    tag = f"tag-{uid}"

    def secret(facts: Facts) -> Secret:
        return Secret(path=f"{spec.folder}/git", content=spec.password)

    def build(facts: Facts) -> Build:
        return Build(uid=uid, tag=f"tag-{uid}" if facts["revision"]["commit"] else "")

    def image(facts: Facts) -> Image:
        facts["revision"]
        return Image(tag=tag)

    def app(facts: Facts) -> App:
        facts["image"]
        return App(name=spec.app, source="git", branch=None)

    def release(facts: Facts) -> Release:
        return Release(name=spec.app, image=str(facts["image"]["digest"]))

    def record(facts: Facts) -> Record:
        facts["release"]
        return _record("record", spec.host, spec, ledger)

    def alone(facts: Facts) -> Record | None:
        return _record("alone", spec.alone, spec, ledger) if spec.alone else None

    adopting = EffectivePolicy(spec.policy.management, spec.policy.deletion, Adoption.IF_UNOWNED, spec.policy.drift)
    return [
        Step("folder", lambda facts: Folder(path=spec.folder), spec.policy),
        Step("credentials", secret, spec.policy, within="folder"),
        Step("job", lambda facts: Job(path=f"{spec.folder}/job", content=spec.script), spec.policy, within="folder"),
        Step("revision", lambda facts: Revision(name="main"), spec.policy),
        Step("build", build, spec.policy, rank=2),
        Step("image", image, spec.policy, rank=1, announce=True),
        Step("app", app, spec.policy, rank=20),
        Step("release", release, spec.policy, rank=21),
        Step("record", record, adopting, gate=False, rank=40),
        Step("alone", alone, spec.policy, rank=40),
    ]


def _record(step: str, name: str, spec: Spec, ledger: Ledger) -> Record:
    entry = ledger.current(step)
    if entry is None or entry.key != name:
        return Record(name=name, data=spec.data)
    values = {entry.facts.get("data")}
    if entry.state is not EntryState.ACTIVE or entry.intent is not None:
        values |= {entry.value.get("data"), *entry.value.get("previous", ())}
    return Record(name=name, data=spec.data, previous=tuple(sorted({v for v in values if v} - {spec.data})))
