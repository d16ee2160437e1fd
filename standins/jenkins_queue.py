"""Queue and executors of the Jenkins stand-in: from a trigger to a finished build."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Literal

from devops_reconciler.runtime.clock import Clock

from .jenkins_model import StoredBuild, StoredItem, StoredQueueItem
from .jenkins_run import Run

REMEMBERED = timedelta(minutes=5)
"""How long an item can be asked for after it left the queue (`Queue.java`, leftItems)."""
State = Literal["Waiting", "Blocked", "Buildable", "Left"]


class Queue:
    """Items in order of arrival. `find` gives a job by its path; `spawn` runs something beside the server."""

    def __init__(
        self,
        clock: Clock,
        *,
        executors: int,
        find: Callable[[tuple[str, ...]], StoredItem | None],
        runner: Callable[[StoredBuild, StoredItem], Run],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._clock = clock
        self.executors = executors
        self._find = find
        self._runner = runner
        self._spawn = spawn
        self._ids = itertools.count(1)
        self._items: dict[int, StoredQueueItem] = {}
        self.running: list[StoredBuild] = []
        self.closed = False

    # The queue

    def add(self, job: StoredItem, parameters: Mapping[str, str], quiet: timedelta) -> tuple[StoredQueueItem, bool]:
        """A new item and True, or the waiting one with equal parameters and False: Jenkins folds them."""
        now = self._clock.now()
        for item in self.waiting():
            if item.path == job.path and item.parameters == dict(parameters):
                item.due = min(item.due, now + quiet)
                self._spawn(self._when_due(item, quiet))
                return item, False
        item = StoredQueueItem(next(self._ids), job.path, dict(parameters), now, now + quiet)
        self._items[item.id] = item
        self._spawn(self._when_due(item, quiet))
        return item, True

    def waiting(self) -> list[StoredQueueItem]:
        return [item for item in self._items.values() if item.left_at is None]

    def get(self, id: int) -> StoredQueueItem | None:
        """An item that waits, or left at most 5 minutes ago."""
        item = self._items.get(id)
        if item is not None and item.left_at is not None and self._clock.now() >= item.left_at + REMEMBERED:
            del self._items[id]
            return None
        return item

    def forget_left(self) -> None:
        """As if those five minutes had passed for every item that has left."""
        for item in list(self._items.values()):
            if item.left_at is not None:
                del self._items[item.id]

    def cancel(self, item: StoredQueueItem) -> bool:
        if item.left_at is not None:
            return False
        item.cancelled, item.left_at = True, self._clock.now()
        return True

    def state(self, item: StoredQueueItem) -> State:
        if item.left_at is not None:
            return "Left"
        if self._clock.now() < item.due:
            return "Waiting"
        return "Blocked" if self._is_blocked(item) else "Buildable"

    def why(self, item: StoredQueueItem) -> str | None:
        state = self.state(item)
        if state == "Waiting":
            seconds = (item.due - self._clock.now()).total_seconds()
            return f"In the quiet period. Expires in {seconds:.1f} sec"
        if state == "Blocked":
            return "A build is already in progress"
        return "Waiting for next available executor" if state == "Buildable" else None

    def _is_blocked(self, item: StoredQueueItem) -> bool:
        job = self._find(item.path)
        return job is not None and not job.concurrent and any(each.path == item.path for each in self.running)

    async def _when_due(self, item: StoredQueueItem, quiet: timedelta) -> None:
        await self._clock.sleep(quiet)
        self.maintain()

    def maintain(self) -> None:
        """Start what can start, in order."""
        for item in [] if self.closed else self.waiting():
            if len(self.running) >= self.executors:
                return
            job = self._find(item.path)
            if job is None:
                self.cancel(item)
            elif self.state(item) == "Buildable":
                self._start(item, job)

    # Builds

    def _start(self, item: StoredQueueItem, job: StoredItem) -> None:
        now = self._clock.now()
        # `ParametersAction.onAttached`: what is not defined when a build starts is hidden for good.
        parameters = {name: value for name, value in item.parameters.items() if name in job.parameters}
        build = StoredBuild(item.path, job.next_number, item.id, parameters, now, estimated=estimate(job))
        job.next_number += 1
        job.builds[build.number] = build
        item.build, item.left_at = build.number, now
        self.running.append(build)
        build.task = self._spawn(self._runner(build, job).execute())
        build.task.add_done_callback(lambda _: self._ended(build))

    def _ended(self, build: StoredBuild) -> None:
        self.running.remove(build)
        if build.building:
            # Stopped before its first step.
            build.result, build.building = "ABORTED", False
            build.ended.set()
        self.maintain()

    def stop(self, build: StoredBuild, *, forced: bool) -> None:
        """Interrupt a build. A stubborn one heeds only the escalation."""
        if build.building and build.task is not None and (forced or not build.stubborn):
            build.task.cancel()

    def forget(self, job: StoredItem) -> None:
        """The job is being deleted: its items leave, its builds stop."""
        for item in self.waiting():
            if item.path == job.path:
                self.cancel(item)
        for build in job.builds.values():
            self.stop(build, forced=True)


def estimate(job: StoredItem) -> timedelta | None:
    """The mean of the newest three successful builds, as `Job.getEstimatedDuration`; None when there are none."""
    numbers = sorted(job.builds, reverse=True)
    good = [job.builds[number] for number in numbers if job.builds[number].result in ("SUCCESS", "UNSTABLE")][:3]
    return sum((each.duration for each in good), timedelta(0)) / len(good) if good else None
