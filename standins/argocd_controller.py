"""The stand-in's controller: it compares, syncs and deletes applications, each of these in its own time.

As in Argo CD, an operation and a comparison run beside each other; `reconciledAt` is the time at which a comparison
began; health follows the rollout and not the operation, so that for a while after a sync the old Healthy remains.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from devops_reconciler.runtime.clock import Clock

from .argocd_compare import (
    Objects,
    Sources,
    annotation,
    comparison_error,
    health,
    identity,
    images,
    namespace_of,
    resources,
)
from .argocd_git import SourceError
from .argocd_state import Cluster, Json, State

REFRESH = "argocd.argoproj.io/refresh"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
PAUSE = timedelta(days=1)


@dataclass
class Times:
    """How long things take, in seconds. 0: at once, but still not within the request."""

    pickup: float = 0.02
    """From the request of an operation until it runs."""
    sync: float = 0.1
    compare: float = 0.1
    """From the end of an operation, or a refresh, until the comparison."""
    health_lag: float = 0.1
    """From the end of an operation until its effect on health is seen."""
    healthy: float = 0.2
    """From Progressing to Healthy."""
    delete: float = 0.1
    terminate: float = 0.05
    poll: float = 180.0
    """Between two comparisons when nothing asks for one."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt to sync ended."""

    phase: str
    message: str
    commit: str = ""
    objects: Objects = field(default_factory=dict)
    results: tuple[Json, ...] = ()


class Waker:
    """Wakes one loop; nothing that happens between two looks is lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def until(self, seconds: float | None, stop: Callable[[], bool]) -> bool:
        """Wait `seconds` (None: for ever); True as soon as `stop()` holds, looked at on each wake."""
        deadline = None if seconds is None else self._clock.monotonic() + seconds
        while not stop():
            left = None if deadline is None else deadline - self._clock.monotonic()
            if left is not None and left <= 0:
                return False
            self._event.clear()
            await self._pause(PAUSE if left is None else timedelta(seconds=left))
        return True

    async def _pause(self, delay: timedelta) -> None:
        waits = [asyncio.ensure_future(self._clock.sleep(delay)), asyncio.ensure_future(self._event.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


class Controller:
    """Two loops per application: one for operations and deletion, one for comparisons."""

    def __init__(
        self,
        state: State,
        cluster: Cluster,
        sources: Sources,
        times: Times,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self.state = state
        self.cluster = cluster
        self.sources = sources
        self.times = times
        self.paused = False
        """While true nothing is picked up: no operation begins, no comparison answers."""
        self.held: set[str] = set()
        """Applications whose next operation, or the one that runs, goes on until they are taken out (then `wake`).

        It may be terminated, too; the operations after it end by themselves.
        """
        self.stuck: set[str] = set()
        """Applications whose finalizer is never done while they are in here (then `wake`)."""
        self.namespace_exists: Callable[[str], Awaitable[bool]] | None = None
        self._spawn = spawn
        self._dirty: set[str] = set()
        self._wakers: dict[str, tuple[Waker, Waker]] = {}
        self._tried: dict[str, tuple[str, str]] = {}

    def begin(self, name: str) -> None:
        """Take charge of a new application."""
        uid = self.state.apps[name]["metadata"]["uid"]
        self._wakers[name] = (Waker(self.state.clock), Waker(self.state.clock))
        self._dirty.add(name)
        self._tried.pop(name, None)
        self._spawn(self._operations(name, uid))
        self._spawn(self._comparisons(name, uid))

    def wake(self, name: str) -> None:
        for waker in self._wakers.get(name, ()):
            waker.wake()

    def wake_all(self) -> None:
        for name in list(self._wakers):
            self.wake(name)

    def refresh(self, name: str) -> None:
        """Compare soon."""
        self._dirty.add(name)
        self.wake(name)

    def _app(self, name: str, uid: str) -> Json | None:
        app = self.state.apps.get(name)
        return app if app is not None and app["metadata"]["uid"] == uid else None

    # Operations and deletion

    async def _operations(self, name: str, uid: str) -> None:
        waker = self._wakers[name][0]

        def due() -> bool:
            app = self._app(name, uid)
            return app is None or (not self.paused and (_deleting(app) or bool(app.get("operation"))))

        while await waker.until(None, due):
            app = self._app(name, uid)
            if app is None:
                return
            if _deleting(app):
                await self._delete(name, uid, waker)
            else:
                await self._operate(name, uid, waker)

    async def _delete(self, name: str, uid: str, waker: Waker) -> None:
        def gone() -> bool:
            return self._app(name, uid) is None

        if await waker.until(self.times.delete, gone):
            return
        if name in self.stuck:
            text = "Failed to delete resources: timed out waiting for objects to be removed"
            self.state.change(name, lambda app: _condition(app, "DeletionError", text))
            if await waker.until(None, lambda: gone() or name not in self.stuck) and gone():
                return
        self.cluster.remove(name)
        ours = [item for item in self.state.apps[name]["metadata"].get("finalizers", []) if item.startswith(FINALIZER)]
        if ours:
            self.state.change(name, _drop_finalizers)
        await waker.until(None, gone)

    async def _operate(self, name: str, uid: str, waker: Waker) -> None:
        def interrupted() -> bool:
            app = self._app(name, uid)
            return app is None or _deleting(app) or _phase(app) == "Terminating"

        if await waker.until(self.times.pickup, interrupted):
            return
        operation = self.state.apps[name]["operation"]
        started = {"operation": operation, "phase": "Running", "message": "", "startedAt": self.state.now()}
        self.state.change(name, lambda app: app["status"].update(operationState=started))
        outcome = await self._attempts(name, operation, waker, interrupted)
        if self._app(name, uid) is None:
            return
        self._finish(name, operation, outcome)

    async def _attempts(self, name: str, operation: Json, waker: Waker, interrupted: Callable[[], bool]) -> Outcome:
        retry = operation.get("retry") or {}
        for attempt in range(int(retry.get("limit") or 0) + 1):
            if attempt and await waker.until(_backoff(retry, attempt), interrupted):
                break
            outcome = await self._attempt(name, operation, waker, interrupted)
            last = attempt == int(retry.get("limit") or 0)
            if outcome.phase == "Succeeded" or last or interrupted():
                return outcome
            text = f"{outcome.message}. Retrying attempt #{attempt + 1} at {self.state.clock.now():%I:%M%p}."
            self.state.change(name, partial(_retrying, attempt + 1, text))
        return Outcome("Failed", "Operation terminated")

    async def _attempt(self, name: str, operation: Json, waker: Waker, interrupted: Callable[[], bool]) -> Outcome:
        app = self.state.apps[name]
        try:
            rendered = await self.sources.render(app, operation["sync"].get("revision", ""))
        except SourceError as error:
            return Outcome("Error", f"ComparisonError: {comparison_error(error)}")
        held = await waker.until(self.times.sync, interrupted)
        if not held and name in self.held:
            held = await waker.until(None, lambda: interrupted() or name not in self.held) and interrupted()
        if held:
            self.held.discard(name)
            await waker.until(self.times.terminate, lambda: False)
            return Outcome("Failed", "Operation terminated", rendered.commit)
        return await self._apply(app, rendered.commit, rendered.objects)

    async def _apply(self, app: Json, commit: str, objects: Objects) -> Outcome:
        namespace = namespace_of(app)
        missing = self.namespace_exists is not None and not await self.namespace_exists(namespace)
        results, reasons = [], []
        for key, manifest in objects.items():
            why = annotation(manifest, "standin/sync-fails") or (
                f'namespaces "{namespace}" not found' if missing else ""
            )
            message = why or f"{key[0].lower()}/{key[2]} configured"
            status = (
                {"status": "SyncFailed", "hookPhase": "Failed"} if why else {"status": "Synced", "hookPhase": "Running"}
            )
            results.append(identity(key, manifest) | status | {"message": message, "syncPhase": "Sync"})
            reasons += [why] if why else []
        if reasons:
            text = f"one or more objects failed to apply, reason: {','.join(dict.fromkeys(reasons))}"
            return Outcome("Failed", text, commit, {}, tuple(results))
        return Outcome("Succeeded", "successfully synced (all tasks run)", commit, objects, tuple(results))

    def _finish(self, name: str, operation: Json, outcome: Outcome) -> None:
        def edit(app: Json) -> None:
            app.pop("operation", None)
            state = app["status"]["operationState"]
            state.update(phase=outcome.phase, message=outcome.message, finishedAt=self.state.now())
            result = {
                "revision": outcome.commit,
                "source": app["spec"].get("source"),
                "resources": list(outcome.results),
            }
            if outcome.commit:
                state["syncResult"] = result
            if outcome.phase == "Succeeded":
                history = app["status"].setdefault("history", [])
                history.append({"id": len(history), "revision": outcome.commit, "deployedAt": self.state.now()})

        if outcome.phase == "Succeeded":
            self._roll_out(name, outcome.objects, prune=bool(operation["sync"].get("prune")))
        self.state.change(name, edit)
        self.refresh(name)

    def _roll_out(self, name: str, objects: Objects, *, prune: bool) -> None:
        live = self.cluster.of(name)
        wanted = dict(objects) if prune else {**live.objects, **objects}
        if wanted == live.objects:
            return
        live.objects = wanted
        live.rollout += 1
        self._spawn(self._roll(name, live.rollout))

    async def _roll(self, name: str, number: int) -> None:
        live = self.cluster.of(name)
        clock = self.state.clock
        await clock.sleep(timedelta(seconds=self.times.health_lag))
        if live.rollout != number or self.cluster.live.get(name) is not live:
            return
        live.applied, live.phase, live.message = live.objects, "Progressing", "Waiting for rollout to finish"
        self.show_health(name)
        await clock.sleep(timedelta(seconds=self.times.healthy))
        if live.rollout != number or self.cluster.live.get(name) is not live:
            return
        reason = next((why for each in live.objects.values() if (why := annotation(each, "standin/degraded"))), "")
        if reason:
            live.phase = "Degraded"
            live.message = reason if reason != "true" else "CrashLoopBackOff: back-off restarting failed container"
        else:
            live.phase, live.message, live.serving = "Healthy", "", live.objects
        self.show_health(name)

    def show_health(self, name: str) -> None:
        """Write health and images into the status, as a change in the cluster does: without a comparison."""
        if name in self.state.apps:
            self.state.change(name, lambda app: self._write_health(app, name))

    def _write_health(self, app: Json, name: str) -> None:
        live = self.cluster.of(name)
        status = app["status"]
        if not status.get("sync"):
            return
        status["health"] = {"status": live.phase}
        status["summary"] = {"images": found} if (found := images(live)) else {}
        for item in status.get("resources", []):
            if (
                "health" in item
                and item["kind"] != "Service"
                and (item["kind"], item["namespace"], item["name"]) in live.objects
            ):
                item["health"] = health(live)

    # Comparisons

    async def _comparisons(self, name: str, uid: str) -> None:
        waker = self._wakers[name][1]

        def due() -> bool:
            return self._app(name, uid) is None or (not self.paused and name in self._dirty)

        while True:
            await waker.until(self.times.poll, due)
            await waker.until(None, lambda: self._app(name, uid) is None or not self.paused)
            if self._app(name, uid) is None:
                return
            self._dirty.discard(name)
            await self.state.clock.sleep(timedelta(seconds=self.times.compare))
            await self._compare(name, uid)

    async def _compare(self, name: str, uid: str) -> None:
        app = self._app(name, uid)
        if app is None:
            return
        began, source = self.state.now(), app["spec"].get("source")
        found: Json = {"sync": {"status": "Unknown", "revision": ""}, "conditions": []}
        try:
            rendered = await self.sources.render(app)
        except SourceError as error:
            text = comparison_error(error)
            found["conditions"] = [{"type": "ComparisonError", "message": text, "lastTransitionTime": began}]
            found["resources"] = []
        else:
            listed = resources(rendered.objects, self.cluster.of(name))
            synced = all(item["status"] == "Synced" for item in listed)
            found["sync"] = {"status": "Synced" if synced else "OutOfSync", "revision": rendered.commit}
            found |= {"resources": listed, "sourceType": rendered.kind}
        if self._app(name, uid) is None:
            return
        found["sync"]["comparedTo"] = {"source": source, "destination": app["spec"].get("destination")}

        def edit(app: Json) -> None:
            kept = [item for item in app["status"].get("conditions", []) if item["type"] == "DeletionError"]
            app["status"].update(found, conditions=kept + found["conditions"], reconciledAt=began)
            if name not in self._dirty:
                app["metadata"].get("annotations", {}).pop(REFRESH, None)
            self._write_health(app, name)

        self.state.change(name, edit)
        self._auto_sync(app)

    def _auto_sync(self, app: Json) -> None:
        name = app["metadata"]["name"]
        automated = (app["spec"].get("syncPolicy") or {}).get("automated")
        sync = app["status"]["sync"]
        busy = app.get("operation") or _deleting(app)
        if automated is None or automated.get("enabled") is False or busy or sync["status"] != "OutOfSync":
            return
        tried = (sync["revision"], repr(app["spec"].get("source")))
        if self._tried.get(name) == tried:
            return
        self._tried[name] = tried
        order = {"revision": sync["revision"], "prune": bool(automated.get("prune"))}
        self.state.change(name, lambda app: set_operation(app, {"sync": order, "initiatedBy": {"automated": True}}))
        self.wake(name)


def set_operation(app: Json, operation: Json) -> None:
    """Ask for an operation; what is known of the last one is forgotten."""
    app["operation"] = operation
    app["status"].pop("operationState", None)


def _deleting(app: Json) -> bool:
    return "deletionTimestamp" in app["metadata"]


def _phase(app: Json) -> str:
    return str((app["status"].get("operationState") or {}).get("phase", ""))


def _drop_finalizers(app: Json) -> None:
    app["metadata"]["finalizers"] = [item for item in app["metadata"]["finalizers"] if not item.startswith(FINALIZER)]


def _condition(app: Json, kind: str, message: str) -> None:
    conditions = [item for item in app["status"].get("conditions", []) if item["type"] != kind]
    app["status"]["conditions"] = [*conditions, {"type": kind, "message": message}]


def _retrying(count: int, message: str, app: Json) -> None:
    app["status"]["operationState"].update(retryCount=count, message=message)


def _backoff(retry: Json, attempt: int) -> float:
    """Seconds before an attempt, as `retry.backoff` says ("5s", "2m"), five by default."""
    backoff = retry.get("backoff") or {}
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", str(backoff.get("duration") or "5s"))
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    first = float(match.group(1)) * units[match.group(2) or "s"] if match else 5.0
    return first * float(backoff.get("factor") or 2) ** (attempt - 1)
