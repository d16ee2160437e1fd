"""What the model is played with: for each way in which things are made, found and removed, an object of one or two.

    python -m tests.unit.engine.model_scenarios [limit]

explores all, and up to so many states of each scenario that is too wide.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from devops_reconciler.api.policies import Adoption
from devops_reconciler.engine.ledger import EntryState, Ledger
from devops_reconciler.engine.outcome import Facts
from devops_reconciler.engine.pipeline import Step

from .model import explore
from .model_pass import TICK
from .model_state import Exploration, Hand, Scenario
from .model_world import ME, UID, Breach, Key, World, put, value
from .things import CATALOG, DEFAULT, App, Build, BuildStop, Folder, Image, Job, Record, Secret, Spec, _record, policy
from .world import Outside

SETTLE = TICK * 4
"""The window after a save, the time-out of a request, and the lag of a view."""


class PacedFolder(Folder):
    settle: ClassVar[timedelta] = SETTLE


class PacedJob(Job):
    settle: ClassVar[timedelta] = SETTLE


class PacedSecret(Secret):
    settle: ClassVar[timedelta] = SETTLE


class PacedApp(App):
    settle: ClassVar[timedelta] = SETTLE


class QuickApp(App):
    """Made again soon, since its name is refused twice; the first attempt may take its time all the same."""

    settle: ClassVar[timedelta] = TICK

    def arrives_in(self, world: Outside) -> timedelta:
        return SETTLE


class PacedBuild(Build):
    settle: ClassVar[timedelta] = SETTLE + TICK


class PacedBuildStop(BuildStop):
    settle: ClassVar[timedelta] = PacedBuild.settle


class PacedImage(Image):
    settle: ClassVar[timedelta] = SETTLE


class PacedRecord(Record):
    settle: ClassVar[timedelta] = SETTLE


CATALOG.update(
    PacedFolder=PacedFolder,
    PacedJob=PacedJob,
    PacedSecret=PacedSecret,
    PacedApp=PacedApp,
    QuickApp=QuickApp,
    PacedBuild=PacedBuildStop,
    PacedImage=PacedImage,
    PacedRecord=PacedRecord,
)

TAG = f"tag-{UID}"


def build_and_image(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
    """A build that must be one, and the image that it pushes."""
    return [
        Step("build", lambda facts: PacedBuild(uid=UID, tag=TAG), DEFAULT, rank=2),
        Step("image", lambda facts: PacedImage(tag=TAG), DEFAULT, rank=1, announce=True),
    ]


def folder_and_job(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
    """Two named things, one in the other."""
    return [
        Step("folder", lambda facts: PacedFolder(path="team"), DEFAULT),
        Step("job", lambda facts: PacedJob(path=f"team/{spec.app}", content=spec.script), DEFAULT),
    ]


def app(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
    """One that takes time to go."""
    return [Step("app", lambda facts: PacedApp(name=spec.app, source=spec.script, branch=None), DEFAULT, rank=20)]


def quick_app(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
    """One that is made again soon."""
    return [Step("app", lambda facts: QuickApp(name=spec.app, source=spec.script, branch=None), DEFAULT, rank=20)]


def secret_and_app(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
    """One that cannot be read back, and one that takes time to go."""
    return [
        Step("secret", lambda facts: PacedSecret(path="git", content=spec.password), DEFAULT),
        Step("app", lambda facts: PacedApp(name=spec.app, source="git", branch=None), DEFAULT, rank=20),
    ]


def record(spec: Spec, ledger: Ledger) -> list[Step[Outside]]:
    """A value beside those of others."""

    def make(facts: Facts) -> Record:
        plain = _record("record", spec.host, spec, ledger)
        return PacedRecord(name=plain.name, data=plain.data, previous=plain.previous)

    return [Step("record", make, policy(adoption=Adoption.IF_UNOWNED), rank=40)]


def _same(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise Breach(f"{what}: {found} at the end, not {expected}")


def _active(ledger: Ledger) -> None:
    for entry in ledger.entries:
        if entry.state not in (EntryState.ACTIVE, EntryState.CLEANED) or entry.intent is not None:
            raise Breach(f"{entry.step} {entry.key} is {entry.state} at the end, with {entry.intent}")


def end_of_build(world: World, spec: Spec | None, ledger: Ledger) -> None:
    _same(value(world, ("tags", TAG)), None if spec is None else f"sha256:{TAG}", "image")
    end_of_build_alone(world, spec, ledger)


def end_of_build_alone(world: World, spec: Spec | None, ledger: Ledger) -> None:
    stages = value(world, ("builds", UID))
    if spec is None:
        _same({"queued", "hidden", "running"} & set(stages), set(), "builds that go on")
    else:
        _same(stages, ("done",), "builds")
        _active(ledger)


def _is_ours(there: Any) -> bool:
    return there is not None and there[0] == ME


def _shelves(world: World, wanted: dict[Key, dict[str, str]], ledger: Ledger) -> None:
    """Ours is what is wanted, and nothing else; less where something of others stands in the way."""
    ours = {key: cell.value for key, cell in world.items() if key[0] in ("items", "apps") and _is_ours(cell.value)}
    taken = [key for key in wanted if (value(world, key) or (ME,))[0] != ME]
    found = {key: dict(fields) for key, (_, fields, _) in ours.items()}
    if taken:
        _same(set(found) - set(wanted), set(), "what is left over")
    else:
        _same(found, wanted, "what is ours")
        _active(ledger)


def end_of_folder(world: World, spec: Spec | None, ledger: Ledger) -> None:
    _shelves(world, {} if spec is None else {("items", "team"): {"content": ""}}, ledger)


def end_of_job(world: World, spec: Spec | None, ledger: Ledger) -> None:
    folder, job = ("items", "team"), ("items", f"team/{spec.app if spec else ''}")
    _shelves(world, {} if spec is None else {folder: {"content": ""}, job: {"content": spec.script}}, ledger)


def end_of_app(world: World, spec: Spec | None, ledger: Ledger) -> None:
    _shelves(world, {} if spec is None else {("apps", spec.app): {"source": spec.script}}, ledger)


def end_of_secret(world: World, spec: Spec | None, ledger: Ledger) -> None:
    _shelves(world, {} if spec is None else {("items", "git"): {"content": spec.password}}, ledger)


def end_of_both(world: World, spec: Spec | None, ledger: Ledger) -> None:
    secret, app = ("items", "git"), ("apps", spec.app if spec else "")
    _shelves(world, {} if spec is None else {secret: {"content": spec.password}, app: {"source": "git"}}, ledger)


def end_of_record(world: World, spec: Spec | None, ledger: Ledger) -> None:
    there, marks = value(world, ("zone", "app")), value(world, ("zone", "app/mark"))
    rest = tuple(item for item in there if item not in (THEIR_VALUE, ADDED))
    _same(rest, () if spec is None else ((spec.data, 600),), "values beside those of others")
    ours = tuple(item for item in marks if item != THEIR_MARK)
    _same(ours, () if spec is None else ((f"owner={ME}", 600),), "marks")
    if spec is not None:
        _active(ledger)


THEIR_VALUE, ADDED, THEIR_MARK = ("198.51.100.1", 600), ("198.51.100.9", 60), ("v=spf1 -all", 3600)
BESIDE: tuple[tuple[Key, Any], ...] = ((("zone", "app"), (THEIR_VALUE,)), (("zone", "app/mark"), (THEIR_MARK,)))


def removes(service: str, name: str) -> tuple[str, Hand]:
    """Somebody removes a thing, and what is in it."""

    def hand(world: World) -> World | None:
        rest = {key: cell for key, cell in world.items() if key[0] != service or f"{key[1]}/".find(f"{name}/") != 0}
        return None if value(world, (service, name)) is None else rest

    return f"somebody removes {name}", hand


def makes(service: str, name: str) -> tuple[str, Hand]:
    """Somebody makes a thing of that name, without a mark."""

    def hand(world: World) -> World | None:
        there = value(world, (service, name))
        return put(world, (service, name), (None, BY_HAND, False), lags=False) if there is None else None

    return f"somebody makes {name}", hand


def changes(service: str, name: str) -> tuple[str, Hand]:
    """Somebody changes our thing."""

    def hand(world: World) -> World | None:
        there = value(world, (service, name))
        return None if there is None else put(world, (service, name), (there[0], BY_HAND, there[2]), lags=False)

    return f"somebody changes {name}", hand


BY_HAND = (("content", "by hand"),)
SPEC = Spec(app="shop", script="a", alone=None)

BUILD = Scenario("a build and its image", 80_000, build_and_image, (SPEC,), end_of_build, troubles=0)
LATE = Scenario(
    "a build that is seen late, with two troubles",
    28_000,
    lambda spec, ledger: build_and_image(spec, ledger)[:1],
    (SPEC,),
    end_of_build_alone,
    operators=1,
    troubles=2,
    lags=True,
)
HIDDEN = replace(
    LATE, name="a build that hides on its way out of the queue", at_least=14_000, troubles=1, lags=False, gap=True
)
APP = Scenario("an application", 75_000, app, (SPEC,), end_of_app, lags=True)
QUICK = replace(APP, name="an application that is made again soon", steps=quick_app, troubles=0, lags=False, again=True)
SECRET = Scenario(
    "a secret that gets another value",
    110_000,
    lambda spec, ledger: secret_and_app(spec, ledger)[:1],
    (SPEC, replace(SPEC, password="v2")),
    end_of_secret,
    troubles=0,
)
RECORD = Scenario(
    "a value beside those of others",
    25_000,
    record,
    (SPEC, replace(SPEC, data="203.0.113.8")),
    end_of_record,
    BESIDE,
    operators=1,
    troubles=0,
)
JOB = Scenario(
    "a job in a folder",
    25_000,
    folder_and_job,
    (SPEC,),
    end_of_job,
    operators=1,
    troubles=0,
    lags=True,
)
FOLDER = replace(
    JOB,
    name="a folder that others remove, make or change",
    at_least=75_000,
    steps=lambda spec, ledger: folder_and_job(spec, ledger)[:1],
    at_end=end_of_folder,
    hands=(removes("items", "team"), makes("items", "team"), changes("items", "team")),
    operators=2,
    lags=False,
)
SCENARIOS = (BUILD, HIDDEN, RECORD)
"""Each is explored to its end with the unit tests: a hundred thousand states, and no minutes."""
LARGE = (LATE, APP, JOB, FOLDER, SECRET)
"""As these are by `make chaos`."""
WIDER = (
    QUICK,
    replace(LATE, name="a build, two operators and a trouble", operators=2, troubles=1),
    replace(BUILD, name="a build and its image, seen late, with two troubles", lags=True, operators=1, troubles=2),
    replace(BUILD, name="a build and its image, two operators and a trouble", troubles=1),
    replace(APP, name="an application that gets another name", specs=(SPEC, replace(SPEC, app="shop2"))),
    replace(RECORD, name="a value beside those of others, with two troubles", troubles=2),
    replace(
        JOB,
        name="a job in a folder that gets another name, two operators",
        specs=(SPEC, replace(SPEC, app="web")),
        hands=(removes("items", "team/shop"), changes("items", "team/shop")),
        operators=2,
    ),
    Scenario(
        "a secret and an application, seen late, two operators",
        0,
        secret_and_app,
        SECRET.specs,
        end_of_both,
        lags=True,
    ),
)
"""More than fits into the unit tests."""


def explore_all(limit: int | None = None) -> Exploration:
    """All of SCENARIOS and LARGE to their end, and up to `limit` states of each of WIDER. Raises Breach."""
    found = Exploration()
    for scenario in (*SCENARIOS, *LARGE):
        found += explore(scenario)
    for scenario in WIDER if limit else ():
        found += explore(scenario, limit)
    return found


def main(limit: int | None) -> None:
    """Writes what came of `explore_all` as JSON: `{states, breach}`."""
    try:
        found = {"states": explore_all(limit).states, "breach": ""}
    except Breach as breach:
        found = {"states": 0, "breach": str(breach)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
