"""Tasks are started, watched, started again, and stopped within a deadline."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.health import HealthChecker
from devops_reconciler.runtime.manager import GIVEN_UP_AFTER, Backoff, ReconcilerManager, TaskDown
from devops_reconciler.runtime.metrics import Metrics

SECOND = timedelta(seconds=1)
BACKOFF = Backoff(first=SECOND, longest=8 * SECOND, stable_after=60 * SECOND, fraction=lambda: 0.0)


class Worker:
    """A task that runs until it is told to die or to return."""

    def __init__(self) -> None:
        self.runs = 0
        self.ended = 0
        self.order: asyncio.Future[None] | None = None

    async def run(self) -> None:
        self.runs += 1
        self.order = asyncio.get_running_loop().create_future()
        try:
            await self.order
        finally:
            self.ended += 1

    @property
    def running(self) -> bool:
        return self.runs > self.ended

    def die(self, error: Exception) -> None:
        assert self.order is not None
        self.order.set_exception(error)

    def leave(self) -> None:
        assert self.order is not None
        self.order.set_result(None)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until the condition holds; it needs no time, only turns."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition never came true")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def manager(clock: FakeClock, metrics: Metrics) -> ReconcilerManager:
    return ReconcilerManager(clock, metrics, BACKOFF)


def restarts(metrics: Metrics, task: str) -> float | None:
    return metrics.registry.get_sample_value("devops_reconciler_task_restarts_total", {"task": task})


async def test_tasks_run_from_start_to_stop(manager: ReconcilerManager) -> None:
    workers = {name: Worker() for name in ("ttl_monitor", "heartbeat_sender", "message_listener")}
    for name, worker in workers.items():
        manager.register(name, worker.run)
    assert manager.names == tuple(workers)
    assert await manager.check("ttl_monitor") == "not started here"
    await manager.start()
    await until(lambda: all(worker.running for worker in workers.values()))
    await manager.start()
    assert await manager.check("ttl_monitor") == "runs"
    assert await manager.stop() == []
    assert [(worker.runs, worker.ended) for worker in workers.values()] == [(1, 1)] * 3


@pytest.mark.parametrize("way", ["raise", "return"])
async def test_a_dead_task_fails_its_check_until_it_runs_again(
    way: str, manager: ReconcilerManager, clock: FakeClock, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    dying, other = Worker(), Worker()
    manager.register("message_listener", dying.run)
    manager.register("ttl_monitor", other.run)
    await manager.start()
    await until(lambda: dying.running and other.running)
    if way == "raise":
        dying.die(OSError("connection lost"))
    else:
        dying.leave()
    await until(lambda: clock.sleepers == 1)
    cause = "OSError: connection lost" if way == "raise" else "it returned"
    with pytest.raises(TaskDown, match=f"message_listener died .{cause}"):
        await manager.check("message_listener")
    assert await manager.check("ttl_monitor") == "runs"
    clock.advance(SECOND)
    await until(lambda: dying.runs == 2)
    assert await manager.check("message_listener") == "runs"
    assert restarts(metrics, "message_listener") == 1
    assert "A task died" in caplog.text
    assert await manager.stop() == []
    assert other.runs == 1


async def test_the_wait_grows_to_its_limit_and_begins_anew_after_a_long_life(
    manager: ReconcilerManager, clock: FakeClock
) -> None:
    worker = Worker()
    manager.register("ttl_monitor", worker.run)
    await manager.start()
    waits = []
    for life in [0, 0, 0, 0, 0, 60, 0]:
        await until(lambda: worker.running)
        clock.advance(life * SECOND)
        worker.die(OSError("again"))
        await until(lambda: clock.sleepers == 1)
        runs, waited = worker.runs, 0
        while worker.runs == runs:
            clock.advance(SECOND)
            waited += 1
            for _ in range(10):
                await asyncio.sleep(0)
        waits.append(waited)
    assert waits == [1, 2, 4, 8, 8, 1, 2]
    await manager.stop()


def test_restarts_are_spread_by_chance() -> None:
    backoff = Backoff(first=2 * SECOND, longest=60 * SECOND, fraction=lambda: 0.5)
    assert backoff.delay(1) == 1.5 * SECOND
    assert backoff.delay(1000) == 45 * SECOND


async def test_some_are_stopped_and_started_again_while_others_run(manager: ReconcilerManager) -> None:
    leader, listener = Worker(), Worker()
    manager.register("heartbeat_sender", leader.run)
    manager.register("message_listener", listener.run)
    await manager.start("message_listener")
    await until(lambda: listener.running)
    assert leader.runs == 0
    await manager.start("heartbeat_sender")
    await until(lambda: leader.running)
    assert await manager.stop("heartbeat_sender") == []
    assert not leader.running
    assert listener.running
    await manager.start("heartbeat_sender")
    await until(lambda: leader.runs == 2)
    await manager.stop()


async def test_stop_ends_the_wait_for_a_restart(manager: ReconcilerManager, clock: FakeClock) -> None:
    worker = Worker()
    manager.register("ttl_monitor", worker.run)
    await manager.start()
    await until(lambda: worker.running)
    worker.die(OSError("lost"))
    await until(lambda: clock.sleepers == 1)
    assert await manager.stop() == []
    clock.advance(60 * SECOND)
    await until(lambda: clock.sleepers == 0)
    assert worker.runs == 1
    assert await manager.check("ttl_monitor") == "not started here"


async def test_a_task_that_does_not_stop_is_named_at_the_deadline(
    manager: ReconcilerManager, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()
    entered = asyncio.Event()

    async def stubborn() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    prompt = Worker()
    manager.register("message_listener", stubborn)
    manager.register("ttl_monitor", prompt.run)
    await manager.start()
    await entered.wait()
    stopping = asyncio.create_task(manager.stop(within=5 * SECOND))
    await until(lambda: clock.sleepers == 1 and not prompt.running)
    assert not stopping.done()
    clock.advance(5 * SECOND)
    assert await stopping == ["message_listener"]
    assert "Tasks did not stop in time" in caplog.text
    release.set()
    assert await manager.stop() == []


async def test_a_task_that_did_not_stop_in_time_runs_in_the_next_term(
    manager: ReconcilerManager, clock: FakeClock
) -> None:
    """Else nobody would start it again: it ends after the next term has begun."""
    release = asyncio.Event()
    begun = []

    async def stubborn() -> None:
        begun.append(clock.monotonic())
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    manager.register("heartbeat_sender", stubborn)
    await manager.start()
    await until(lambda: len(begun) == 1)
    stopping = asyncio.create_task(manager.stop(within=5 * SECOND))
    await until(lambda: clock.sleepers == 1)
    clock.advance(5 * SECOND)
    assert await stopping == ["heartbeat_sender"]
    await manager.start()
    release.set()
    await until(lambda: clock.sleepers == 1)
    clock.advance(60 * SECOND)
    await until(lambda: len(begun) == 2)
    assert await manager.check("heartbeat_sender") == "runs"
    assert await manager.stop() == []


async def test_what_goes_wrong_while_stopping_is_logged(
    manager: ReconcilerManager, caplog: pytest.LogCaptureFixture
) -> None:
    entered = asyncio.Event()

    async def clumsy() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("flush failed")

    manager.register("heartbeat_sender", clumsy)
    await manager.start()
    await entered.wait()
    assert await manager.stop() == []
    assert "A task failed while it was stopped" in caplog.text
    assert "flush failed" in caplog.text


async def test_a_name_is_taken_once(manager: ReconcilerManager) -> None:
    manager.register("ttl_monitor", Worker().run)
    with pytest.raises(ValueError, match="ttl_monitor"):
        manager.register("ttl_monitor", Worker().run)


async def test_a_task_that_dies_again_and_again_for_long_is_dead_until_it_lives_for_long(
    manager: ReconcilerManager, clock: FakeClock
) -> None:
    worker = Worker()
    manager.register("ttl_monitor", worker.run)
    await manager.start()
    await until(lambda: worker.running)
    for died in range(1, int(GIVEN_UP_AFTER.total_seconds() / 8) + 2):
        assert manager.dead() == []
        worker.die(OSError("again"))
        await until(lambda: clock.sleepers == 1)
        clock.advance(8 * SECOND)
        await until(lambda: worker.runs == died + 1)  # noqa: B023
    assert "the task ttl_monitor has died again and again for 15 minutes" in manager.dead()[0]
    clock.advance(BACKOFF.stable_after)
    assert manager.dead() == []


async def test_a_task_that_nobody_watches_any_more_is_dead(manager: ReconcilerManager) -> None:
    worker = Worker()
    manager.register("ttl_monitor", worker.run)
    await manager.start()
    await until(lambda: worker.running)
    (supervisor,) = [task for task in asyncio.all_tasks() if task.get_name() == "supervise ttl_monitor"]
    supervisor.cancel()
    await until(supervisor.done)
    assert manager.dead() == ["nobody watches the task ttl_monitor any more"]


async def test_a_task_that_was_stopped_is_not_dead(manager: ReconcilerManager) -> None:
    worker = Worker()
    manager.register("ttl_monitor", worker.run)
    await manager.start()
    await until(lambda: worker.running)
    await manager.stop()
    assert manager.dead() == []


async def test_a_dead_task_makes_readiness_fail_by_its_name_until_it_runs_again(
    manager: ReconcilerManager, clock: FakeClock, metrics: Metrics
) -> None:
    dying, other = Worker(), Worker()
    manager.register("ttl_monitor", dying.run)
    manager.register("heartbeat_sender", other.run)
    health = HealthChecker(clock)
    for name in manager.names:
        health.register(name, partial(manager.check, name), essential=True, max_age=timedelta(0))
    await manager.start()
    await until(lambda: dying.running and other.running)
    assert await health.failing_essentials() == {}

    dying.die(OSError("disk full"))
    await until(lambda: clock.sleepers == 1)
    failing = await health.failing_essentials()
    assert list(failing) == ["ttl_monitor"]
    assert "the task ttl_monitor died (OSError: disk full), restart 1 follows" in failing["ttl_monitor"].detail

    clock.advance(SECOND)
    await until(lambda: dying.runs == 2)
    assert await health.failing_essentials() == {}
    await manager.stop()
