"""The event loop: what has just come in goes first, and many who are ready hold up no answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context

import pytest

from devops_reconciler.runtime.event_loop import MOST, UrgentFirstLoop
from devops_reconciler.runtime.urgency import NOBODY, Urgency, context_of

STEP = 0.001
"""Seconds that a step takes, by the loop's own clock."""


class Loop(UrgentFirstLoop):
    """One whose time passes with the steps alone. It tells how long each of its turns took."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: list[float] = []
        super().__init__()

    def time(self) -> float:
        return self.now

    def _turn(self) -> None:
        began = self.now
        super()._turn()
        self.turns.append(self.now - began)

    def step(self) -> None:
        self.now += STEP


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def arrival() -> Context:
    return context_of(Urgency.ARRIVAL, NOBODY)


def run(loop: Loop, until: Callable[[], bool]) -> None:
    """Turn after turn, until it is so."""

    def look() -> None:
        if until():
            loop.stop()
        else:
            loop.call_soon(look, context=arrival())

    look()
    loop.run_forever()


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def test_what_has_just_come_in_overtakes_all_that_is_ready(loop: Loop) -> None:
    ran: list[str] = []
    for _ in range(1000):
        loop.call_soon(ran.append, "other")
    loop.call_soon(ran.append, "arrival", context=arrival())
    run(loop, lambda: "arrival" in ran)
    assert ran.index("arrival") == 0


def test_each_step_of_what_has_just_come_in_waits_for_a_few_others_only(loop: Loop) -> None:
    ran: list[str] = []

    def other() -> None:
        loop.step()
        ran.append("other")

    async def arrives() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
            ran.append("arrival")

    for _ in range(1000):
        loop.call_soon(other)
    task = loop.create_task(arrives(), context=arrival())
    run(loop, task.done)
    assert ran.count("arrival") == 10
    assert ran.index("arrival") < MOST + 2
    assert ran.count("other") < 200


def test_all_others_run_in_their_order_though_there_is_always_something_urgent(loop: Loop) -> None:
    ran: list[int] = []

    def urgent() -> None:
        loop.step()
        loop.call_soon(urgent, context=arrival())

    for number in range(1000):
        loop.call_soon(ran.append, number)
    loop.call_soon(urgent, context=arrival())
    run(loop, lambda: len(ran) == 1000)
    assert ran == list(range(1000))


def test_a_step_of_others_that_comes_later_does_not_overtake(loop: Loop) -> None:
    ran: list[str] = []

    def first() -> None:
        loop.call_soon(ran.append, "made by the first")

    loop.call_soon(first)
    for number in range(500):
        loop.call_soon(ran.append, str(number))
    run(loop, lambda: len(ran) == 501)
    assert ran[-1] == "made by the first"


def test_an_answer_is_read_while_many_are_ready(loop: Loop) -> None:
    ran: list[str] = []

    def other() -> None:
        loop.step()
        ran.append("other")

    with pair() as (ours, theirs):
        loop.add_reader(ours, lambda: (loop.remove_reader(ours), ran.append("answer")))
        theirs.send(b"answer")
        for _ in range(1000):
            loop.call_soon(other)
        run(loop, lambda: "answer" in ran)
    assert ran.index("answer") <= MOST


def test_turns_become_short_when_steps_are_long_and_as_many_as_can_be_run_when_they_are_not(loop: Loop) -> None:
    left = [1000]

    def other() -> None:
        loop.step()
        left[0] -= 1

    for _ in range(1000):
        loop.call_soon(other)
    run(loop, lambda: left[0] == 0)
    long = [turn / STEP for turn in loop.turns[10:-1]]
    assert max(long) < 5
    assert sum(long) / len(long) > 1.5
    loop.turns.clear()
    light: list[int] = []
    for number in range(100 * MOST):
        loop.call_soon(light.append, number)
    run(loop, lambda: len(light) == 100 * MOST)
    assert len(loop.turns) < 100 + MOST + 5


def test_few_long_steps_make_short_turns_too_after_many_that_were_short(loop: Loop) -> None:
    light: list[int] = []
    for number in range(100 * MOST):
        loop.call_soon(light.append, number)
    run(loop, lambda: len(light) == 100 * MOST)
    loop.turns.clear()

    def other() -> None:
        loop.step()
        loop.call_soon(other)

    for _ in range(MOST // 2):
        loop.call_soon(other)
    run(loop, lambda: len(loop.turns) == 100)
    assert max(turn / STEP for turn in loop.turns[10:]) < 5


def test_what_is_left_when_the_loop_is_stopped_runs_when_it_goes_on(loop: Loop) -> None:
    ran: list[int] = []
    for number in range(1000):
        loop.call_soon(ran.append, number)
    loop.stop()
    loop.run_forever()
    assert 0 < len(ran) < 1000
    run(loop, lambda: len(ran) == 1000)
    assert ran == list(range(1000))


def test_timers_and_other_threads_are_heard_while_many_are_ready(loop: Loop) -> None:
    ran: list[str] = []

    def other() -> None:
        loop.step()
        ran.append("other")

    for _ in range(1000):
        loop.call_soon(other)
    loop.call_later(STEP * 10, ran.append, "timer")
    asked = loop.run_in_executor(None, lambda: loop.call_soon_threadsafe(ran.append, "thread"))
    run(loop, lambda: asked.done() and "thread" in ran and "timer" in ran)
    assert ran.index("timer") < 2 * MOST
    loop.run_until_complete(loop.shutdown_default_executor())
