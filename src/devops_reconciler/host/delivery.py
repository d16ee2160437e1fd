"""The four key figures of delivery (DORA) of each project's production: counted when a deployment ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import Summary

from ..api.conditions import Reason
from ..api.deployment_record import PRODUCTION
from ..resources.marks import event_time
from ..runtime.clock import moment
from ..runtime.metrics import MOST_PROJECTS, Metrics

FAILED = "Failed"
ENDS = (Reason.SUCCEEDED, Reason.SUPERSEDED, Reason.CANCELLED)
RESULTS = (FAILED, *(reason.value for reason in ENDS))
Labels = tuple[str, str]
"""Namespace and name of a project."""
OTHERS: Labels = ("", "other")


@dataclass(frozen=True, slots=True)
class Ended:
    """A deployment of production that has ended: its result, and when it was asked for and ended."""

    uid: str
    project: Labels
    result: str
    asked_at: datetime
    finished_at: datetime


class Delivery:
    """Counts by project; the number of projects with figures of their own is bounded."""

    def __init__(self, metrics: Metrics, most: int = MOST_PROJECTS) -> None:
        self._metrics = metrics
        self._most = most
        self._known: set[Labels] = set()

    def meet(self, namespace: str, project: str) -> Labels:
        """Show the figures of a project from now on, all 0 at first: an increase is seen only where a 0 was before.

        Gives the labels under which it counts.
        """
        labels = (namespace, project)
        if labels not in self._known and len(self._known - {OTHERS}) >= self._most:
            labels = OTHERS
        if labels not in self._known:
            self._known.add(labels)
            for result in RESULTS:
                self._metrics.project_deployments.labels(*labels, result)
            for summary in self._summaries:
                summary.labels(*labels)
        return labels

    def note(self, ended: Ended, earlier: Iterable[Ended]) -> None:
        """A deployment has ended. `earlier` are those of the project that are still known, in any order."""
        labels = self.meet(*ended.project)
        self._metrics.project_deployments.labels(*labels, ended.result).inc()
        if ended.result != Reason.SUCCEEDED:
            return
        lead = (ended.finished_at - ended.asked_at).total_seconds()
        self._metrics.project_lead_seconds.labels(*labels).observe(max(0.0, lead))
        broken = broken_since(ended, earlier)
        if broken is not None:
            down = (ended.finished_at - broken).total_seconds()
            self._metrics.project_restore_seconds.labels(*labels).observe(down)

    def forget(self, namespace: str, project: str) -> None:
        """The project is gone, and its figures with it."""
        labels = (namespace, project)
        if labels not in self._known:
            return
        self._known.discard(labels)
        for result in RESULTS:
            self._metrics.project_deployments.remove(*labels, result)
        for summary in self._summaries:
            summary.remove(*labels)

    @property
    def _summaries(self) -> tuple[Summary, ...]:
        return self._metrics.project_lead_seconds, self._metrics.project_restore_seconds


def broken_since(good: Ended, earlier: Iterable[Ended]) -> datetime | None:
    """When the first deployment failed since the last good one before `good`; None where none did."""
    before = sorted(
        (e for e in earlier if e.uid != good.uid and e.finished_at <= good.finished_at), key=lambda e: e.finished_at
    )
    found = None
    for each in before:
        if each.result == Reason.SUCCEEDED:
            found = None
        elif each.result == FAILED and found is None:
            found = each.finished_at
    return found


def ended(obj: dict[str, Any]) -> Ended | None:
    """What a DeploymentRecord as read tells of its end; None for a preview, and for one that has not ended.

    Raises ValueError for a status with a time that is none.
    """
    status = obj.get("status") or {}
    found = [c for c in status.get("conditions") or () if c["type"] == "Finished" and c["status"] == "True"]
    if not found or not status.get("finishedAt"):
        return None
    return end_of(obj, str(found[0]["reason"]), moment(status["finishedAt"]))


def end_of(obj: dict[str, Any], reason: str, at: datetime) -> Ended | None:
    """The end of a DeploymentRecord, by the reason of its condition `Finished`; None for a preview."""
    spec, metadata = obj.get("spec") or {}, obj["metadata"]
    created = metadata.get("creationTimestamp")
    asked = event_time(metadata) or (moment(created) if created else None)
    if spec.get("environment", PRODUCTION) != PRODUCTION or asked is None:
        return None
    project = (str(metadata["namespace"]), str((spec.get("projectRef") or {}).get("name", "")))
    return Ended(str(metadata["uid"]), project, result_of(reason), asked, at)


def result_of(reason: str) -> str:
    """The result of a deployment by the reason of its condition `Finished`."""
    return reason if reason in ENDS else FAILED
