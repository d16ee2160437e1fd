"""`devops-reconciler watch`: deployments as they go, from the status of their records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from ..api.errors import ConflictError, ExternalServiceError
from ..runtime.clock import Clock, SystemClock
from ..runtime.manager import Backoff
from ..runtime.settings import load_group
from ..runtime.settings_variables import OperatorVariables
from ..services.kubernetes import DEPLOYMENT_RECORD, Kubernetes, Listing
from ..services.kubernetes_access import find_cluster, open_cluster
from .hiding import hider
from .watch_line import line_of, line_of_deleted
from .watch_view import BarView, JsonView, View

AGAIN = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=15))
"""Pauses while the API server is away."""


def watch_deployments(
    environ: Mapping[str, str],
    project: str | None,
    deployment: str | None,
    namespace: str | None,
    *,
    as_json: bool,
) -> int:
    """Until all shown deployments have ended; without any, until Ctrl-C. 0 when all went well, 1 when one did not.

    Raises ReconcilerError where the deployments cannot be read at first, or may not be read. An outage later is waited
    for: it says nothing of a deployment.
    """
    settings = load_group(OperatorVariables, environ)
    where = namespace or settings.reconciler_namespaces[0]
    hide = hider(environ)
    view: View = JsonView(hide) if as_json else BarView(hide)
    try:
        return asyncio.run(_watch(settings, where, project, deployment, view))
    except KeyboardInterrupt:
        return 130


async def _watch(
    settings: OperatorVariables, namespace: str, project: str | None, deployment: str | None, view: View
) -> int:
    access = find_cluster(kubeconfig=settings.kubeconfig)
    clock = SystemClock()
    async with open_cluster(access, clock) as kubernetes:
        with view:
            return await _follow(kubernetes, namespace, project, deployment, view, _Outage(clock, view))


class _Outage:
    """The pauses while the API server is away, told once. It is over when a watch gives something again."""

    def __init__(self, clock: Clock, view: View) -> None:
        self._clock = clock
        self._view = view
        self._failures = 0

    async def wait(self, error: ExternalServiceError) -> None:
        self._failures += 1
        if self._failures == 1:
            self._view.tell(f"Waiting until the API server can be watched again: {error.message}")
        await self._clock.sleep(max(AGAIN.delay(self._failures), error.after or timedelta()))

    def is_over(self) -> None:
        self._failures = 0


async def _follow(
    kubernetes: Kubernetes, namespace: str, project: str | None, deployment: str | None, view: View, outage: _Outage
) -> int:
    shown: dict[str, dict[str, Any]] = {}
    listing = await kubernetes.listing(DEPLOYMENT_RECORD, namespace)
    while True:
        there = {item["metadata"]["name"] for item in listing.items}
        for name in shown.keys() - there:
            shown[name] = view.show(line_of_deleted(name, shown[name]))
        for item in listing.items:
            _note(item, shown, view, project, deployment)
        if _ended(shown):
            return _code(shown)
        try:
            stream = kubernetes.watch(DEPLOYMENT_RECORD, namespace, resource_version=listing.resource_version)
            async with aclosing(stream) as events:
                async for kind, item in events:
                    outage.is_over()
                    name = item["metadata"].get("name")
                    if kind == "DELETED" and name in shown:
                        shown[name] = view.show(line_of_deleted(name, shown[name]))
                    elif kind in ("ADDED", "MODIFIED"):
                        _note(item, shown, view, project, deployment)
                    if _ended(shown):
                        return _code(shown)
        except ConflictError as error:
            if error.code != 410:
                raise
        except ExternalServiceError as error:
            await outage.wait(error)
        listing = await _listed_again(kubernetes, namespace, outage)


async def _listed_again(kubernetes: Kubernetes, namespace: str, outage: _Outage) -> Listing:
    while True:
        try:
            return await kubernetes.listing(DEPLOYMENT_RECORD, namespace)
        except ExternalServiceError as error:
            await outage.wait(error)


def _note(
    item: dict[str, Any],
    shown: dict[str, dict[str, Any]],
    view: View,
    project: str | None,
    deployment: str | None,
) -> None:
    """Show a record that is asked for: one that is at work, or was when it was first shown, or is named."""
    name = item["metadata"]["name"]
    line = line_of(item)
    if _is_wanted(item, project, deployment) and (name in shown or deployment or not line["terminal"]):
        shown[name] = view.show(line)


def _ended(shown: Mapping[str, Mapping[str, Any]]) -> bool:
    return bool(shown) and all(line["terminal"] for line in shown.values())


def _code(shown: Mapping[str, Mapping[str, Any]]) -> int:
    return 0 if all(line["result"] == "Succeeded" for line in shown.values()) else 1


def _is_wanted(item: dict[str, Any], project: str | None, deployment: str | None) -> bool:
    if deployment is not None and item["metadata"]["name"] != deployment:
        return False
    return project is None or item["spec"]["projectRef"]["name"] == project
