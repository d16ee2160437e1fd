"""Checks with a limit and a remembered result, and the four addresses."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import aiohttp
import pytest

from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.runtime.health import HealthChecker, Probe
from devops_reconciler.runtime.metrics import Metrics

SECOND = timedelta(seconds=1)


class Thing:
    """Something to be checked, that counts how often it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    async def check(self) -> str:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return f"answer {self.asked}"


class Silence:
    """Something that never answers, and knows whether it was left alone again."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = False

    async def check(self) -> str:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "never"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def health(clock: FakeClock) -> HealthChecker:
    return HealthChecker(clock, redact=lambda text: text.replace("hunter22", "****"))


async def test_results_are_remembered_for_their_age(health: HealthChecker, clock: FakeClock) -> None:
    thing = Thing()
    health.register("thing", thing.check, max_age=10 * SECOND)
    first = (await health.run_health_checks())["thing"]
    clock.advance(9 * SECOND)
    assert (await health.run_health_checks())["thing"] is first
    clock.advance(SECOND)
    second = (await health.run_health_checks())["thing"]
    assert (second.ok, second.detail, second.checked_at) == (True, "answer 2", clock.now())
    assert thing.asked == 2


class SteppedClock(FakeClock):
    """One whose time of day somebody sets."""

    def __init__(self) -> None:
        super().__init__()
        self.off = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.off


@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(hours=1)], ids=["back", "on"])
async def test_a_result_grows_old_whatever_somebody_does_to_the_time_of_day(off: timedelta) -> None:
    clock, thing = SteppedClock(), Thing()
    health = HealthChecker(clock)
    health.register("thing", thing.check, max_age=10 * SECOND)
    await health.run_health_checks()

    clock.off = off
    await health.run_health_checks()
    assert thing.asked == 1, "it is not old yet"
    clock.advance(10 * SECOND)
    found = (await health.run_health_checks())["thing"]

    assert (thing.asked, found.checked_at) == (2, clock.now())


async def test_a_check_that_is_kept_told_is_run_though_nobody_asks(health: HealthChecker, clock: FakeClock) -> None:
    thing = Thing()
    health.register("thing", thing.check, max_age=60 * SECOND)
    keeping = asyncio.create_task(health.keep_told("thing"))
    for times in range(1, 4):
        for _ in range(20):
            await asyncio.sleep(0)
        assert thing.asked == times
        clock.advance(60 * SECOND)
    keeping.cancel()
    await asyncio.wait({keeping})


async def test_each_new_result_is_told_and_a_remembered_one_is_not(clock: FakeClock) -> None:
    told: list[tuple[str, bool]] = []
    health = HealthChecker(clock, told=lambda name, ok: told.append((name, ok)))
    thing = Thing()
    health.register("thing", thing.check)
    for _ in range(2):
        await health.run_health_checks()
    thing.error = OSError("refused")
    clock.advance(11 * SECOND)
    await health.run_health_checks()
    assert told == [("thing", True), ("thing", False)]


async def test_many_askers_make_one_question(health: HealthChecker) -> None:
    thing = Thing()
    health.register("thing", thing.check)
    await asyncio.gather(*(health.run_health_checks() for _ in range(20)))
    assert thing.asked == 1


async def test_a_failure_is_a_result_without_secrets(health: HealthChecker) -> None:
    health.register("broken", Thing(OSError("refused for hunter22")).check)
    health.register("mute", Thing(KeyError()).check)
    results = await health.run_health_checks()
    assert (results["broken"].ok, results["broken"].detail) == (False, "refused for ****")
    assert (results["mute"].ok, results["mute"].detail) == (False, "KeyError")


async def test_what_a_service_tells_of_itself_is_without_secrets_too(health: HealthChecker) -> None:
    async def check() -> str:
        return "2.579, as hunter22"

    health.register("jenkins", check)
    assert (await health.run_health_checks())["jenkins"].detail == "2.579, as ****"


async def test_a_check_without_answer_ends_at_its_limit(health: HealthChecker, clock: FakeClock) -> None:
    silence, thing = Silence(), Thing()
    health.register("silence", silence.check, timeout=3 * SECOND)
    health.register("thing", thing.check)
    running = asyncio.create_task(health.run_health_checks())
    await silence.asked.wait()
    clock.advance(3 * SECOND)
    results = await running
    assert (results["silence"].ok, results["silence"].detail) == (False, "no answer within 3s")
    assert results["silence"].latency_ms == 3000
    assert results["thing"].ok
    assert silence.cancelled


async def test_an_asker_who_leaves_takes_the_question_back(health: HealthChecker) -> None:
    silence = Silence()
    health.register("silence", silence.check)
    running = asyncio.create_task(health.run_health_checks())
    await silence.asked.wait()
    running.cancel()
    await asyncio.wait({running})
    assert silence.cancelled


async def test_a_name_is_taken_once(health: HealthChecker) -> None:
    health.register("thing", Thing().check)
    with pytest.raises(ValueError, match="thing"):
        health.register("thing", Thing().check)


Get = Callable[[str], "asyncio.Future[tuple[int, str, str]]"]


@pytest.fixture
async def get(health: HealthChecker) -> AsyncIterator[Get]:
    metrics = Metrics()
    metrics.heartbeats_sent.inc(3)
    breakers = {"jenkins": {"state": "OPEN", "failures": 5, "opened_at": "2026-01-01T00:00:00Z"}}
    probe = Probe(health, metrics, host="127.0.0.1", port=0)
    probe.breakers = lambda: breakers
    await probe.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{probe.port}") as session:

        async def read(path: str) -> tuple[int, str, str]:
            async with session.get(path) as reply:
                return reply.status, reply.content_type, await reply.text()

        yield lambda path: asyncio.ensure_future(read(path))
    await probe.stop()


async def test_alive_whatever_the_checks_say(health: HealthChecker, get: Get) -> None:
    health.register("rabbitmq_connection", Thing(OSError("refused")).check, essential=True)
    assert (await get("/healthz"))[0] == 200


async def test_not_alive_when_something_is_dead_for_good(health: HealthChecker) -> None:
    probe = Probe(health, Metrics(), host="127.0.0.1", port=0)
    probe.dead = lambda: ["nobody watches the task ttl_monitor any more"]
    await probe.start()
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{probe.port}") as session,
        session.get("/healthz") as reply,
    ):
        assert (reply.status, await reply.text()) == (503, "nobody watches the task ttl_monitor any more\n")
    await probe.stop()


def test_a_blocked_event_loop_gives_no_answer_until_it_goes_on(clock: FakeClock) -> None:
    """The server has a loop of its own here, which something blocks; we ask as the kubelet does, and wait for 1 s."""
    blocked, release = threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()
    probe = Probe(HealthChecker(clock), Metrics(), host="127.0.0.1", port=0)

    def block() -> None:
        blocked.set()
        release.wait()

    def alive() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{probe.port}/healthz", timeout=1) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(probe.start(), loop).result()
    try:
        loop.call_soon_threadsafe(block)
        blocked.wait()
        assert not alive()
        release.set()
        while not alive():
            pass
    finally:
        release.set()
        asyncio.run_coroutine_threadsafe(probe.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_ready_depends_on_the_essential_checks_alone(health: HealthChecker, get: Get, clock: FakeClock) -> None:
    rabbitmq = Thing()
    health.register("rabbitmq_connection", rabbitmq.check, essential=True, max_age=SECOND)
    health.register("jenkins_connection", Thing(OSError("down")).check)
    assert (await get("/readyz"))[0] == 200
    rabbitmq.error = OSError("connection refused")
    clock.advance(SECOND)
    status, _, text = await get("/readyz")
    assert (status, text) == (503, "rabbitmq_connection: connection refused\n")


async def test_the_report_has_checks_and_breakers(health: HealthChecker, get: Get) -> None:
    health.register("rabbitmq_connection", Thing().check, essential=True)
    health.register("jenkins_connection", Thing(OSError("down")).check)
    status, content_type, text = await get("/health")
    assert (status, content_type) == (200, "application/json")
    at = "2026-01-01T00:00:00Z"
    assert json.loads(text) == {
        "checks": {
            "rabbitmq_connection": {"ok": True, "detail": "answer 1", "checked_at": at, "latency_ms": 0.0},
            "jenkins_connection": {"ok": False, "detail": "down", "checked_at": at, "latency_ms": 0.0},
        },
        "breakers": {"jenkins": {"state": "OPEN", "failures": 5, "opened_at": at}},
    }


async def test_the_metrics_are_served(get: Get) -> None:
    status, content_type, text = await get("/metrics")
    assert (status, content_type) == (200, "application/openmetrics-text")
    assert "devops_reconciler_heartbeats_sent_total 3.0" in text
    assert text.endswith("# EOF\n")
