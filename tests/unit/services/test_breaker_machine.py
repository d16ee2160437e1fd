"""The breaker against a model of it: any calls, ending in any order and way, at any time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import ExternalServiceError, ValidationError
from devops_reconciler.runtime.clock import FakeClock
from devops_reconciler.services.breaker import Change, CircuitBreaker

TIMEOUT = 60
CLOSED, OPEN, HALF_OPEN = "CLOSED", "OPEN", "HALF_OPEN"
ENDS = ("works", "ill", "refused", "busy", "bug", "cancelled", "unusable", "excused", "overlooked")


@dataclass
class Running:
    """A call under way. `since` is the number of changes that the model had seen when it began."""

    end: asyncio.Future[str]
    task: asyncio.Task[None]
    since: int
    probe: bool


class Comparison(RuleBasedStateMachine):
    """The model is written from the description, without periods or places: only history."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.changes: list[str] = []
        self.running: list[Running] = []
        self.state = CLOSED
        self.history = 0
        self.failures = 0
        self.opened = 0.0

    @initialize(threshold=st.integers(1, 4))
    def make(self, threshold: int) -> None:
        self.threshold = threshold
        self.breaker = CircuitBreaker(
            "jenkins",
            failure_threshold=threshold,
            timeout=timedelta(seconds=TIMEOUT),
            clock=self.clock,
            on_change=self.note,
        )

    def note(self, change: Change) -> None:
        assert change.before.value == (self.changes[-1] if self.changes else CLOSED)
        self.changes.append(change.after.value)

    def teardown(self) -> None:
        self.loop.run_until_complete(self._leave())
        self.loop.close()

    async def _leave(self) -> None:
        for each in self.running:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in self.running), return_exceptions=True)

    # The world

    @rule()
    def begin(self) -> None:
        self.loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        end: asyncio.Future[str] = self.loop.create_future()
        started = asyncio.Event()
        task = self.loop.create_task(self._client(end, started))
        await asyncio.sleep(0)
        expected = self._expect_admission()
        assert started.is_set() == expected
        if expected:
            self.running.append(Running(end, task, self.history, self.state == HALF_OPEN))
        else:
            error = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(error, ExternalServiceError)
            assert error.reason is Reason.BREAKER_OPEN
            assert not error.maybe_applied
            assert error.after is not None
            left = max(0.0, self.opened + TIMEOUT - self.clock.monotonic())
            assert error.after.total_seconds() >= (left if self.state == OPEN else 1)

    async def _client(self, end: asyncio.Future[str], started: asyncio.Event) -> None:
        """Calls, and has its say on the answer as the clients have."""

        async def operation() -> str:
            started.set()
            return await end

        try:
            said = await self.breaker.call(operation)
        except ExternalServiceError as error:
            if error.message == "excused":
                self.breaker.reconsider(None)
            if error.message == "overlooked":
                self.breaker.overlook()
            raise
        if said == "unusable":
            self.breaker.reconsider(ExternalServiceError("unusable", service="jenkins"))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(ENDS))
    def end(self, data: st.DataObject, how: str) -> None:
        call = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.loop.run_until_complete(self._end(call, how))
        if how not in ("bug", "cancelled", "overlooked") and call.since == self.history:
            self._expect_verdict(ill=how in ("ill", "unusable"))

    async def _end(self, call: Running, how: str) -> None:
        if how == "cancelled":
            call.task.cancel()
        elif how in ("works", "unusable"):
            call.end.set_result(how)
        else:
            call.end.set_exception(_error(how))
        await asyncio.gather(call.task, return_exceptions=True)
        await asyncio.sleep(0)

    @rule(seconds=st.sampled_from([1, 29, 30, 59, 60, 61]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    # The model

    def _change(self, state: str) -> None:
        self.state = state
        self.history += 1

    def _expect_admission(self) -> bool:
        if self.state == OPEN and self.clock.monotonic() >= self.opened + TIMEOUT:
            self._change(HALF_OPEN)
        probing = any(each.probe and each.since == self.history for each in self.running)
        return self.state == CLOSED or (self.state == HALF_OPEN and not probing)

    def _expect_verdict(self, *, ill: bool) -> None:
        self.failures = self.failures + 1 if ill else 0
        if ill and (self.state == HALF_OPEN or self.failures == self.threshold):
            self.opened = self.clock.monotonic()
            self._change(OPEN)
        elif not ill and self.state == HALF_OPEN:
            self._change(CLOSED)

    @invariant()
    def alike(self) -> None:
        if not hasattr(self, "breaker"):
            return
        assert (self.breaker.state.value, self.breaker.failures) == (self.state, self.failures)
        assert len(self.changes) == self.history
        assert (self.breaker.opened_at is None) == (self.state == CLOSED)

    @invariant()
    def one_probe(self) -> None:
        assert sum(1 for each in self.running if each.probe and each.since == self.history) <= 1


def _error(how: str) -> Exception:
    return {
        "ill": ExternalServiceError("503", service="jenkins"),
        "excused": ExternalServiceError("excused", service="jenkins"),
        "overlooked": ExternalServiceError("overlooked", service="jenkins"),
        "busy": ExternalServiceError("429", service="jenkins", reason=Reason.RATE_LIMITED),
        "refused": ValidationError("400", status=400),
        "bug": KeyError("ours"),
    }[how]


Comparison.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBreaker = Comparison.TestCase
