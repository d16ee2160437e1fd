"""The outside of the model: services as immutable values, and how a request changes them.

Time goes in ticks of five seconds. A cell is one thing at a service: its value now, and the values that a reader whose
view is behind may still be shown. A view is behind by less than one tick.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any, NamedTuple

from .world import Run, Thing

ME = "mark-u1"
UID = "u1"

Key = tuple[str, str]
"""Service and name."""


class Request(NamedTuple):
    """One call or save."""

    service: str
    verb: str
    name: str
    argument: Any = None

    @property
    def key(self) -> Key:
        return self.service, self.name

    @property
    def writes(self) -> bool:
        return self.verb not in ("get", "find", "read", "fresh")

    def __str__(self) -> str:
        return f"{self.service} {self.verb} {self.name}"


class Cell(NamedTuple):
    """One thing: as it is, and as it was less than a tick ago, the oldest first.

    Readers see one view, that may be behind, and never goes back.
    """

    value: Any
    before: tuple[Any, ...] = ()


World = dict[Key, Cell]
"""Never changed in place."""


class Breach(AssertionError):
    """An invariant does not hold."""


@types.coroutine
def ask(request: Request) -> Generator[Request, Any, Any]:
    """Hand a request to whoever drives the coroutine, and take its answer."""
    return (yield request)


class ShelfClient:
    """Named things, as the resources of the tests speak with them."""

    def __init__(self, service: str) -> None:
        self._service = service

    async def get(self, key: str) -> Thing | None:
        found = await ask(Request(self._service, "get", key))
        return None if found is None else Thing(found[0], dict(found[1]), 0.0 if found[2] else None)

    async def create(self, key: str, me: str, fields: dict[str, str]) -> None:
        await ask(Request(self._service, "create", key, tuple(fields.items())))

    async def patch(self, key: str, me: str, fields: dict[str, str]) -> None:
        await ask(Request(self._service, "patch", key, tuple(fields.items())))

    async def delete(self, key: str, me: str) -> None:
        await ask(Request(self._service, "delete", key))


class BuildsClient:
    """Builds without uniqueness."""

    async def find(self, uid: str) -> list[Run]:
        shown = {"queued": "queued", "running": "running", "done": "done", "stopped": "stopped"}
        stages = await ask(Request("builds", "find", uid))
        return [Run(number, uid, shown[stage]) for number, stage in enumerate(stages, 1) if stage in shown]

    async def trigger(self, uid: str, tag: str) -> None:
        await ask(Request("builds", "trigger", uid, tag))

    async def stop(self, number: int) -> None:
        await ask(Request("builds", "stop", UID, number))


class TagsClient:
    """A registry."""

    async def digest(self, tag: str) -> str | None:
        digest: str | None = await ask(Request("tags", "get", tag))
        return digest

    async def delete(self, tag: str) -> None:
        await ask(Request("tags", "delete", tag))


class ZoneClient:
    """Record sets."""

    async def read(self, name: str) -> Any:
        return await ask(Request("zone", "read", name))

    async def fresh(self, name: str) -> Any:
        return await ask(Request("zone", "fresh", name))

    async def replace(self, name: str, values: Any) -> None:
        await ask(Request("zone", "replace", name, tuple(values)))


def value(world: World, key: Key) -> Any:
    """As it is now."""
    cell = world.get(key)
    return _nothing(key) if cell is None else cell.value


def _nothing(key: Key) -> Any:
    return () if key[0] in ("zone", "builds") else None


def put(world: World, key: Key, new: Any, *, lags: bool) -> World:
    """Another value, and the old one may still be shown where reads lag."""
    cell = world.get(key, Cell(_nothing(key)))
    if cell.value == new:
        return world
    before = (*cell.before, cell.value) if lags else ()
    return {**world, key: Cell(new, before)}


def views(world: World, request: Request) -> list[tuple[Any, World]]:
    """What a read may answer: what is so, or what was so just before; and the world in which that was seen."""
    cell = world.get(request.key, Cell(_nothing(request.key)))
    if request.verb == "fresh" or not cell.before:
        return [(cell.value, world)]
    shown = [(cell.value, {**world, request.key: Cell(cell.value)})]
    for index, was in enumerate(cell.before):
        shown.append((was, {**world, request.key: Cell(cell.value, cell.before[index:])}))
    return shown


def shown_stages(stages: tuple[str, ...]) -> tuple[str, ...]:
    """What is to be found of builds: neither what was cancelled in the queue nor what is on its way out of it."""
    shown = tuple("" if stage in ("hidden", "cancelled") else stage for stage in stages)
    return shown if any(shown) else ()


def written(world: World, request: Request, *, lags: bool) -> tuple[World, str | None]:
    """The world after a write, and the name of the refusal if it was refused."""
    now = value(world, request.key)
    match request.service, request.verb:
        case (("items" | "apps"), _):
            return _on_shelf(world, request, now, lags=lags)
        case "builds", "trigger":
            if now:
                raise Breach("a second build")
            return put(world, request.key, (*now, "queued"), lags=lags), None
        case "builds", "stop":
            stages = list(now)
            stage = stages[request.argument - 1]
            ends = {"queued": "cancelled", "hidden": "stopped", "running": "stopped"}
            stages[request.argument - 1] = ends.get(stage, stage)
            return put(world, request.key, tuple(stages), lags=lags), None
        case "tags", "delete":
            return put(world, request.key, None, lags=lags), None
        case "zone", "replace":
            return put(world, request.key, request.argument, lags=lags), None
    raise LookupError(request)


def _on_shelf(world: World, request: Request, now: Any, *, lags: bool) -> tuple[World, str | None]:
    folder = request.name.rpartition("/")[0]
    if request.verb == "create":
        if now is not None:
            return world, "conflict"
        if folder and value(world, (request.service, folder)) is None:
            return world, "missing"
        return put(world, request.key, (ME, request.argument, False), lags=lags), None
    if now is None:
        return world, "missing" if request.verb == "patch" else None
    owner, fields, going = now
    if owner != ME:
        raise Breach(f"{request}: it is of {owner}")
    if request.verb == "patch":
        merged = tuple(sorted({**dict(fields), **dict(request.argument)}.items()))
        return put(world, request.key, (owner, merged, going), lags=lags), None
    if request.service == "apps":
        return put(world, request.key, (owner, fields, True), lags=lags), None
    for service, name in list(world):
        if service == request.service and (name == request.name or name.startswith(f"{request.name}/")):
            world = put(world, (service, name), None, lags=lags)
    return world, None


NEXT_STAGE = {"queued": "hidden", "hidden": "running", "running": "done"}


def a_tick_later(world: World, *, gap: bool) -> World:
    """Views catch up, builds go on, what is being deleted is gone. With `gap`, builds hide between queue and list."""
    later: World = {key: Cell(cell.value) for key, cell in world.items()}
    for key, cell in world.items():
        if key[0] == "apps" and cell.value is not None and cell.value[2]:
            later[key] = Cell(None)
        if key[0] == "builds":
            stages = [NEXT_STAGE.get(stage, stage) for stage in cell.value]
            stages = [stage if gap or stage != "hidden" else "running" for stage in stages]
            later[key] = Cell(tuple(stages))
            if "done" in stages and "done" not in cell.value:
                later["tags", f"tag-{UID}"] = Cell(f"sha256:tag-{UID}")
    return later
