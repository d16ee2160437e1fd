"""Things that nobody would know of any more: made, then killed, then not wanted. Story 4."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from standins.controls import Call
from testbed.waiting import eventually

from .lane import Lane
from .project import Project
from .trial import Trial, ask_deletion, hub_leftovers
from .writes import concerns

MADE = {
    "Jenkins folder": ("jenkins", r"^/createItem"),
    "Jenkins credentials": ("jenkins", r"/createCredentials"),
    "Jenkins job": ("jenkins", r"^/job/[^/]+/createItem"),
    "Argo CD repository": ("argocd", r"/repositories"),
    "Argo CD project": ("argocd", r"/projects"),
    "Argo CD application": ("argocd", r"/applications"),
    "image repository": ("dockerhub", r"/repositories"),
    "Ingress": ("kubernetes", r"/ingresses"),
    "DNS record": ("godaddy", r"/records/A/"),
    "mark of the DNS record": ("godaddy", r"/records/TXT/"),
}
"""What a set-up makes: the service, and the path of the request that makes it."""
WRITES = ("POST", "PUT", "PATCH")


async def forgotten(service: str, path: str, lane: Lane, project: Project) -> list[str]:
    """Killed after the effect, its reply withheld, and deleted before it comes back: it is found all the same."""
    trap = lane.controls[service].trap("after_effect", partial(_makes, re.compile(path), project.name), lane.kill)
    lane.replicas[0].stay_down()
    try:
        await project.ask_for_set_up(components={"registry": {"deletionPolicy": "Delete"}})

        async def killed() -> bool:
            return trap.sprung

        await eventually(killed, f"{service} is asked for {path}", lane.patience)
        await ask_deletion(project)
    finally:
        lane.replicas[0].rise()
    await project.gone()
    await lane.alive()
    return hub_leftovers(project)


def _makes(path: re.Pattern[str], project: str, call: Call) -> bool:
    return call.method in WRITES and path.search(call.path) is not None and concerns(call, project)


def leak_trials() -> Iterator[Trial]:
    """All of them."""
    for what, (service, path) in MADE.items():
        yield Trial(4, f"killed as it makes the {what}, and deleted meanwhile", partial(forgotten, service, path))
