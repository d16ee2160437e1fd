"""The long-running tasks of the process: started, watched, started again when they die, stopped within a deadline."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from .clock import Clock
from .logs import get_logger
from .metrics import Metrics
from .settings_types import format_duration
from .waiting import first_of

Run = Callable[[], Awaitable[None]]

GIVEN_UP_AFTER = timedelta(minutes=15)
"""How long a task may die again and again before the process counts as ill. Longer than most outages of a service, for
which tasks do not die anyway."""

_log = get_logger(__name__)


class TaskDown(Exception):
    """A task that should run does not; the text says since when it waits, and why."""


@dataclass(frozen=True)
class Backoff:
    """Waits between restarts of a task: doubled from `first` to `longest`, each shortened at random by up to half.

    A task that lived for `stable_after` begins anew.
    """

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=1)
    stable_after: timedelta = timedelta(minutes=5)
    fraction: Callable[[], float] = random.random

    def delay(self, deaths: int) -> timedelta:
        """How long to wait after this many deaths in a row (1 or more)."""
        full = min(self.first * 2.0 ** min(deaths - 1, 30), self.longest)
        return full * (1 - self.fraction() / 2)


@dataclass
class _Task:
    name: str
    run: Run
    supervisor: asyncio.Task[None] | None = None
    body: "asyncio.Future[None] | None" = None
    stopping: bool = False
    down: str | None = None
    began: float = 0.0
    dying_since: float | None = None
    """When it died first without having lived for long since (monotonic)."""


class ReconcilerManager:
    """Owns the process's tasks (`ttl_monitor`, `heartbeat_sender`, `message_listener`).

    A task is meant to run until it is stopped: one that raises or returns is dead. Its `check` fails until it runs
    again, so that readiness shows it.
    """

    def __init__(self, clock: Clock, metrics: Metrics, backoff: Backoff | None = None) -> None:
        self._clock = clock
        self._metrics = metrics
        self._backoff = backoff or Backoff()
        self._tasks: dict[str, _Task] = {}

    def register(self, name: str, run: Run) -> None:
        """Add a task; it does not run yet. Raises `ValueError` for a name that is taken."""
        if name in self._tasks:
            raise ValueError(f"there is a task named {name} already")
        self._tasks[name] = _Task(name, run)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tasks)

    async def start(self, *names: str) -> None:
        """Start the tasks (all, or those named). One that runs already goes on; one that is ending begins anew."""
        for task in self._chosen(names):
            task.stopping = False
            if task.supervisor is None or task.supervisor.done():
                task.down, task.dying_since = None, None
                task.supervisor = asyncio.create_task(self._supervise(task), name=f"supervise {task.name}")

    async def stop(self, *names: str, within: timedelta = timedelta(seconds=25)) -> list[str]:
        """Cancel the tasks (all, or those named) and wait until they ended. Gives the names of those that did not."""
        chosen = [task for task in self._chosen(names) if task.supervisor is not None]
        for task in chosen:
            task.stopping, task.down = True, None
            if task.body is not None and not task.body.done():
                task.body.cancel()
            elif task.supervisor is not None:
                task.supervisor.cancel()
        await self._ended([task.supervisor for task in chosen if task.supervisor is not None], within)
        left = [task.name for task in chosen if task.supervisor is not None and not task.supervisor.done()]
        if left:
            _log.error("Tasks did not stop in time", tasks=left, within=format_duration(within))
        return left

    async def check(self, name: str) -> str:
        """The health check of a task. Raises `TaskDown` while it waits to be started again."""
        task = self._tasks[name]
        if task.down is not None:
            raise TaskDown(task.down)
        return "runs" if task.supervisor is not None and not task.supervisor.done() else "not started here"

    def dead(self) -> list[str]:
        """A sentence for each task that will not come back by itself, for `/healthz`: a restart may help.

        One whose supervisor has ended, or that has died again and again for `GIVEN_UP_AFTER`.
        """
        found = []
        now = self._clock.monotonic()
        for task in self._tasks.values():
            if task.supervisor is None or task.stopping:
                continue
            if task.supervisor.done():
                found.append(f"nobody watches the task {task.name} any more")
            elif task.dying_since is not None and self._lives_long(task, now):
                task.dying_since = None
            elif task.dying_since is not None and now - task.dying_since > GIVEN_UP_AFTER.total_seconds():
                minutes = (now - task.dying_since) / 60
                found.append(f"the task {task.name} has died again and again for {minutes:.0f} minutes: {task.down}")
        return found

    def _lives_long(self, task: _Task, now: float) -> bool:
        return task.down is None and now - task.began >= self._backoff.stable_after.total_seconds()

    def _chosen(self, names: tuple[str, ...]) -> list[_Task]:
        return [self._tasks[name] for name in names or self._tasks]

    async def _ended(self, supervisors: list[asyncio.Task[None]], within: timedelta) -> None:
        if not supervisors:
            return
        await first_of(self._clock.sleep(within), asyncio.wait(supervisors))

    async def _supervise(self, task: _Task) -> None:
        deaths = 0
        while not task.stopping:
            began = task.began = self._clock.monotonic()
            task.body = asyncio.ensure_future(task.run())
            task.down = None
            await asyncio.wait({task.body})
            if task.stopping:
                self._note_last_words(task)
                return
            lived = timedelta(seconds=self._clock.monotonic() - began)
            if lived >= self._backoff.stable_after:
                deaths, task.dying_since = 0, None
            deaths += 1
            task.dying_since = began if task.dying_since is None else task.dying_since
            await self._mourn(task, deaths)

    async def _mourn(self, task: _Task, deaths: int) -> None:
        delay = self._backoff.delay(deaths)
        error = _error_of(task)
        cause = f"{type(error).__name__}: {error}" if error else "it returned"
        task.down = f"the task {task.name} died ({cause}), restart {deaths} follows"
        _log.error("A task died", task=task.name, restart_in=delay.total_seconds(), deaths=deaths, exc_info=error)
        self._metrics.task_restarts.labels(task.name).inc()
        self._metrics.internal_errors.labels(task.name).inc()
        await self._clock.sleep(delay)

    def _note_last_words(self, task: _Task) -> None:
        error = _error_of(task)
        if error is not None:
            _log.error("A task failed while it was stopped", task=task.name, exc_info=error)


def _error_of(task: _Task) -> BaseException | None:
    if task.body is None or task.body.cancelled():
        return None
    return task.body.exception()
