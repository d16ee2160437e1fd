"""`devops-reconciler watch`: deployments as they go, from the status of their records."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ..api.errors import ConflictError, ExternalServiceError
from ..runtime.clock import Clock, SystemClock
from ..runtime.logs import Redactor
from ..runtime.manager import Backoff
from ..runtime.settings import load_group
from ..runtime.settings_variables import OperatorVariables
from ..services.kubernetes import DEPLOYMENT_RECORD, Kubernetes, Listing
from ..services.kubernetes_access import find_cluster, open_cluster
from .hiding import hidden, hider
from .watch_line import line_of, line_of_deleted

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
    view: _View = _JsonView(hide) if as_json else _BarView(hide)
    try:
        return asyncio.run(_watch(settings, where, project, deployment, view))
    except KeyboardInterrupt:
        return 130


async def _watch(
    settings: OperatorVariables, namespace: str, project: str | None, deployment: str | None, view: _View
) -> int:
    access = find_cluster(kubeconfig=settings.kubeconfig)
    clock = SystemClock()
    async with open_cluster(access, clock) as kubernetes:
        with view:
            return await _follow(kubernetes, namespace, project, deployment, view, _Outage(clock, view))


class _Outage:
    """The pauses while the API server is away, told once. It is over when a watch gives something again."""

    def __init__(self, clock: Clock, view: _View) -> None:
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
    kubernetes: Kubernetes, namespace: str, project: str | None, deployment: str | None, view: _View, outage: _Outage
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
    view: _View,
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


class _View:
    def __init__(self, hide: Redactor) -> None:
        self._hide = hide

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_: object) -> None: ...

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def tell(self, text: str) -> None:
        """Something beside the deployments, on stderr."""
        sys.stderr.write(f"{self._hide(text)}\n")
        sys.stderr.flush()


class _JsonView(_View):
    def __init__(self, hide: Redactor) -> None:
        super().__init__(hide)
        self._last: dict[str, dict[str, Any]] = {}

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        if self._last.get(line["deployment"]) != line:
            self._last[line["deployment"]] = line
            sys.stdout.write(json.dumps(hidden(line, self._hide)) + "\n")
            sys.stdout.flush()
        return line


class _BarView(_View):
    def __init__(self, hide: Redactor) -> None:
        super().__init__(hide)
        self._progress = Progress(
            TextColumn("{task.fields[name]}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),  # what services say may have brackets
            TimeElapsedColumn(),
            console=Console(),
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> _View:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, line: dict[str, Any]) -> dict[str, Any]:
        name = line["deployment"]
        if name not in self._bars:
            label = f"{line['project']}/{line['environment']} {name}"
            self._bars[name] = self._progress.add_task("", total=100, name=label)
        text = f"{line['result']}: {line['message']}" if line["terminal"] else f"{line['step'] or ''} {line['message']}"
        self._progress.update(self._bars[name], completed=line["percent"] or 0, description=self._hide(text)[:80])
        if line["terminal"]:
            self._progress.stop_task(self._bars[name])
        return line
