"""Vendors that answer, and say nothing true: story 6."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from standins.controls import Kind
from testbed.stage_cluster import KINDS

from .lane import Lane
from .project import Project
from .scenario import quiet, said
from .trial import VENDORS, Trial, ask_deletion, hub_leftovers, touch

PARTS = tuple(plural for plural in KINDS if plural != "deploymentrecords")
LIE_SECONDS = 4.0
LIES: tuple[tuple[str, Kind | int, str | None], ...] = (
    ("a 404 of a proxy", 404, "404 page not found\n"),
    ("an HTML page with status 200", "html", None),
    ("an empty list", 200, "[]"),
    ("an empty object", 200, "{}"),
    ("a list without items", 200, '{"items": [], "metadata": {"resourceVersion": "1"}}'),
    ("an error with status 200", 200, '{"error": "maintenance", "message": "please come back later"}'),
    ("nothing at all", 200, ""),
    ("half a body", "garbled", None),
)
TELLING = 5
"""So many of them are told while all is removed, too."""


async def lies(vendor: str, kind: Kind | int, body: str | None, lane: Lane, project: Project) -> list[str]:
    """Every read gets this answer for a while, and all is looked at: nothing is made or removed."""
    await project.set_up()
    await project.deploy()
    await quiet([project])
    before = project.effects
    lane.controls[vendor].fault("GET", "", kind, times=None, after_effect=True, body=body)
    await touch(project, PARTS)
    await asyncio.sleep(LIE_SECONDS)
    lane.calm()
    await quiet([project])
    changed = said(before, project.effects)
    return [changed] if changed else []


async def lies_during_deletion(
    vendor: str, kind: Kind | int, body: str | None, lane: Lane, project: Project
) -> list[str]:
    """Every read gets this answer while all is being removed: nothing is forgotten, and all of it goes."""
    await project.set_up(components={"registry": {"deletionPolicy": "Delete"}})
    await project.deploy()
    lane.controls[vendor].fault("GET", "", kind, times=None, after_effect=True, body=body)
    await ask_deletion(project)
    await asyncio.sleep(LIE_SECONDS)
    lane.calm()
    await project.gone()
    return hub_leftovers(project)


def lie_trials() -> Iterator[Trial]:
    """All of them."""
    for vendor in VENDORS:
        for what, kind, body in LIES:
            yield Trial(6, f"{vendor} answers every read with {what}", partial(lies, vendor, kind, body))
        for what, kind, body in LIES[:TELLING]:
            during = partial(lies_during_deletion, vendor, kind, body)
            yield Trial(6, f"{vendor} answers every read with {what} while all is removed", during)
