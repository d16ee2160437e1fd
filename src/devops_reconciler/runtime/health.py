"""Health: named checks with a time limit and a remembered result, and the HTTP server that shows them.

A check is an asynchronous function that returns a detail for people, and raises when it fails. It asks the thing
itself (a login, a message that comes back), through the breaker where the thing is a service.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from .clock import Clock
from .metrics import CONTENT_TYPE, Metrics
from .settings_types import format_duration

Check = Callable[[], Awaitable[str]]
Breakers = Callable[[], Mapping[str, Mapping[str, Any]]]

DEFAULT_TIMEOUT = timedelta(seconds=5)
DEFAULT_MAX_AGE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check said. `checked_at` is UTC; `latency_ms` is how long it took."""

    ok: bool
    detail: str
    checked_at: datetime
    latency_ms: float


@dataclass
class _Registered:
    check: Check
    essential: bool
    timeout: timedelta
    max_age: timedelta
    result: CheckResult | None = None
    asked_at: float = 0.0
    """When the thing was asked last (monotonic): the time of day may be set back, and results would stay for ever."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class HealthChecker:
    """Runs the checks side by side; nobody asks a thing more often than its result may be old."""

    def __init__(
        self,
        clock: Clock,
        *,
        redact: Callable[[str], str] = str,
        told: Callable[[str, bool], None] = lambda name, ok: None,
    ) -> None:
        """`redact` hides secrets in what a check says (`logs.Redactor`); `told` hears each new result."""
        self._told = told
        self._clock = clock
        self._redact = redact
        self._checks: dict[str, _Registered] = {}

    def register(
        self,
        name: str,
        check: Check,
        *,
        essential: bool = False,
        timeout: timedelta = DEFAULT_TIMEOUT,
        max_age: timedelta = DEFAULT_MAX_AGE,
    ) -> None:
        """Add a check. Readiness depends on the `essential` ones. Raises `ValueError` for a name that is taken."""
        if name in self._checks:
            raise ValueError(f"there is a health check named {name} already")
        self._checks[name] = _Registered(check, essential, timeout, max_age)

    async def run_health_checks(self, names: Iterable[str] | None = None) -> dict[str, CheckResult]:
        """The result of each check (or of those named), fresh or not older than its `max_age`."""
        wanted = list(self._checks if names is None else names)
        results = await asyncio.gather(*(self._result(name, self._checks[name]) for name in wanted))
        return dict(zip(wanted, results, strict=True))

    async def keep_told(self, name: str) -> None:
        """Run this check whenever its result is old, without an end: `told` hears of it though nobody asks."""
        while True:
            await self.run_health_checks([name])
            await self._clock.sleep(self._checks[name].max_age)

    async def essentials(self) -> dict[str, CheckResult]:
        """The results of the essential checks: the operator is ready when all are good."""
        return await self.run_health_checks([name for name, each in self._checks.items() if each.essential])

    async def failing_essentials(self) -> dict[str, CheckResult]:
        """The essential checks that fail now; empty when the operator is ready."""
        return {name: result for name, result in (await self.essentials()).items() if not result.ok}

    async def _result(self, name: str, registered: _Registered) -> CheckResult:
        async with registered.lock:
            last = registered.result
            started = self._clock.monotonic()
            if last is None or started - registered.asked_at >= registered.max_age.total_seconds():
                registered.result = last = await self._run(registered)
                registered.asked_at = started
                self._told(name, last.ok)
            return last

    async def _run(self, registered: _Registered) -> CheckResult:
        checked_at, started = self._clock.now(), self._clock.monotonic()
        check = asyncio.ensure_future(registered.check())
        limit = asyncio.ensure_future(self._clock.sleep(registered.timeout))
        try:
            await asyncio.wait({check, limit}, return_when=asyncio.FIRST_COMPLETED)
            ok, detail = self._verdict(check, registered.timeout)
        finally:
            await _abandon({check, limit})
        return CheckResult(ok, detail, checked_at, round((self._clock.monotonic() - started) * 1000, 1))

    def _verdict(self, check: "asyncio.Future[str]", timeout: timedelta) -> tuple[bool, str]:
        if not check.done():
            return False, f"no answer within {format_duration(timeout)}"
        if check.cancelled():
            return False, "the check was cancelled"
        error = check.exception()
        if error is not None:
            return False, self._redact(str(error) or type(error).__name__)
        return True, self._redact(check.result())


async def _abandon(futures: set[asyncio.Future[Any]]) -> None:
    """Cancel what still runs; what it raises on the way out concerns nobody any more."""
    for future in futures:
        future.cancel()
    done, _ = await asyncio.wait(futures, timeout=1)
    for future in done:
        if not future.cancelled():
            future.exception()


class Probe:
    """The HTTP server for kubelet, Prometheus and people: `/healthz`, `/readyz`, `/health`, `/metrics`.

    Serves the health and the metrics of the process. Port 0 takes a free one; `port` says which."""

    def __init__(self, health: HealthChecker, metrics: Metrics, *, host: str, port: int) -> None:
        self._health = health
        self._metrics = metrics
        self.breakers: Breakers = dict
        """Gives by service: `state`, `failures`, `opened_at` (ISO 8601 or None)."""
        self.dead: Callable[[], Sequence[str]] = tuple
        """Sentences about what is dead in this process and will not come back by itself: only a restart helps."""
        self._host = host
        self.port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen. Raises `OSError` where the port is taken."""
        app = web.Application()
        for path, answer in (
            ("/healthz", self._healthz),
            ("/readyz", self._readyz),
            ("/health", self._report),
            ("/metrics", self._exposition),
        ):
            app.router.add_get(path, answer)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self.port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; answers under way may end."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _request: web.Request) -> web.Response:
        # That this runs at all is half of the proof: a blocked event loop gives no answer, and kubelet's patience ends.
        dead = self.dead()
        if dead:
            return web.Response(status=503, text="\n".join([*dead, ""]))
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        results = await self._health.essentials()
        failing = {name: result for name, result in results.items() if not result.ok}
        lines = [f"{name}: {result.detail}" for name, result in (failing or results).items()]
        if failing:
            return web.Response(status=503, text="\n".join([*lines, ""]))
        return web.Response(text="\n".join(["ok", *lines, ""]))

    async def _report(self, _request: web.Request) -> web.Response:
        results = await self._health.run_health_checks()
        body = {
            "checks": {name: _as_json(result) for name, result in results.items()},
            "breakers": {service: dict(breaker) for service, breaker in self.breakers().items()},
        }
        return web.Response(text=json.dumps(body, default=str), content_type="application/json")

    async def _exposition(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})


def _as_json(result: CheckResult) -> dict[str, Any]:
    return {
        "ok": result.ok,
        "detail": result.detail,
        "checked_at": result.checked_at.isoformat().replace("+00:00", "Z"),
        "latency_ms": result.latency_ms,
    }
