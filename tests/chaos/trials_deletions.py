"""Vendors that are dead as all is removed, and people who remove things behind our back: story 3."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from testbed.stage_cluster import path
from testbed.stage_inventory import in_jenkins

from .lane import Lane
from .project import Project
from .trial import VENDORS, Trial, ask_deletion, hub_leftovers, wait_stalled

STRICT = {"CLEANUP_TIMEOUT": "3s"}


async def dead_during_deletion(vendor: str, lane: Lane, project: Project) -> list[str]:
    """Deletion says that it is blocked and by whom, and completes by itself when the vendor is back."""
    await project.set_up(components={"registry": {"deletionPolicy": "Delete"}})
    await project.deploy()
    lane.controls[vendor].down = True
    await ask_deletion(project)
    await wait_stalled(project, vendor)
    lane.controls[vendor].down = False
    await project.gone()
    return hub_leftovers(project)


async def forced(lane: Lane, project: Project) -> list[str]:
    """A vendor never comes back, and somebody forces the deletion: what remains is in a ledger, and is all of it."""
    await project.set_up()
    lane.stage.jenkins.controls.down = True
    await ask_deletion(project)
    await wait_stalled(project, "jenkins")
    stage = lane.stage
    body = {"metadata": {"annotations": {"freeleaps.com/force-delete": "alice"}}}
    await stage.kube.patch(path("devopsprojects", project.name, stage.namespace), body)
    await project.gone()
    ledgers = f"/api/v1/namespaces/{stage.namespace}/configmaps?labelSelector=freeleaps.com/left-behind=true"
    kept = [json.dumps(each["data"]) for each in (await stage.kube.get(ledgers))["items"]]
    left = [thing for thing in in_jenkins(stage.jenkins) if project.name in thing.name]
    del stage.jenkins.root.children[project.name]
    return [f"in no ledger: {thing}" for thing in left if not any(thing.name.split("/")[-1] in text for text in kept)]


Removal = Callable[[Lane, str], None]


async def removed_by_hand(remove: Removal, lane: Lane, project: Project) -> list[str]:
    """What somebody removed already needs no removal."""
    await project.set_up()
    await project.deploy()
    remove(lane, project.name)
    await project.delete()
    return []


def _folder(lane: Lane, name: str) -> None:
    del lane.stage.jenkins.root.children[name]


def _job(lane: Lane, name: str) -> None:
    del lane.stage.jenkins.root.children[name].children[name]


def _application(lane: Lane, name: str) -> None:
    lane.stage.argocd.state.remove_app(name)


def _argo_project(lane: Lane, name: str) -> None:
    del lane.stage.argocd.state.projects[name]


def _records(lane: Lane, name: str) -> None:
    zone = lane.stage.godaddy.zone("example.test")
    zone.remove("A", name)
    zone.remove("TXT", f"a-{name}")


REMOVALS: dict[str, Removal] = {
    "Jenkins folder": _folder,
    "Jenkins job": _job,
    "Argo CD application": _application,
    "Argo CD project": _argo_project,
    "DNS record and mark": _records,
}


def deletion_trials() -> Iterator[Trial]:
    """All of them."""
    for vendor in VENDORS:
        yield Trial(3, f"{vendor} is dead during the deletion", partial(dead_during_deletion, vendor), STRICT)
    yield Trial(3, "jenkins is dead for good, and the deletion is forced", forced, STRICT)
    for what, remove in REMOVALS.items():
        yield Trial(3, f"deletion after the {what} was removed by hand", partial(removed_by_hand, remove))
