"""Deliveries that cannot be written: held while none can, waiting while those of others can."""

from __future__ import annotations

import asyncio

from devops_reconciler.api.conditions import Reason
from devops_reconciler.api.errors import (
    ExternalServiceError,
    ValidationError,
    Waiting,
)

from .bench import AWAY, SECOND, Bench
from .broker import FakeDelivery, turns, until
from .samples import reconcile


async def fail_again(bench: Bench, sleepers: int = 1) -> None:
    """All that pause try once more."""
    await until(lambda: bench.clock.sleepers == sleepers)
    bench.clock.advance(8 * SECOND)
    await turns()


async def one_that_fails_alone(bench: Bench) -> FakeDelivery:
    """e-1 of a project that cannot be written waits, since one of another project was written."""
    bench.inbox.errors["e-1"] = AWAY
    alone = bench.take(reconcile("deploy", "e-1", project="sick"))
    await until(lambda: bench.deliveries.held == 1)
    other = bench.take(reconcile("deploy", "e-2", project="well"))
    await until(lambda: other.acks == 1 and bench.deliveries.waiting() == 1)
    return alone


async def test_one_that_fails_alone_waits_and_holds_up_nobody(bench: Bench) -> None:
    bench.inbox.errors["e-1"] = AWAY
    alone = bench.take(reconcile("deploy", "e-1", project="sick"))
    await until(lambda: bench.deliveries.held == 1)
    assert bench.deliveries.stops
    other = bench.take(reconcile("deploy", "e-2", project="well"))
    await until(lambda: other.acks == 1)
    await turns()
    assert (bench.deliveries.held, bench.deliveries.stops, bench.deliveries.waiting()) == (0, False, 1)
    behind = bench.take(reconcile("deploy", "e-3", project="sick"))
    assert bench.deliveries.waiting() == bench.deliveries.stuck() == 2
    for number in range(74):
        if number % 6 == 0:
            bench.take(reconcile("deploy", f"w-{number}", project="well"))
            await turns()
        await fail_again(bench)
        assert bench.deliveries.held == 0
    assert (alone.acks, behind.acks) == (0, 0)
    await fail_again(bench)
    await until(lambda: alone.acks == behind.acks == 1)
    assert bench.grave.buried == [
        (reconcile("deploy", "e-1", project="sick"), Reason.EXTERNAL_SERVICE_ERROR, "kubernetes: connection refused")
    ]


async def test_the_time_of_one_that_fails_alone_runs_only_while_others_are_written(bench: Bench) -> None:
    """Where nothing else comes, it may be that the API server has gone away since."""
    alone = await one_that_fails_alone(bench)
    for _ in range(300):
        await fail_again(bench)
    another = bench.take(reconcile("deploy", "e-3", project="well"))
    await until(lambda: another.acks == 1)
    for _ in range(300):
        await fail_again(bench)
    assert (alone.acks, bench.deliveries.waiting(), bench.grave.buried) == (0, 1, [])


async def test_what_was_held_waits_for_its_project_for_as_long_as_any_other(bench: Bench) -> None:
    bench.inbox.error = AWAY
    taken = bench.take(reconcile("deploy", "e-1", project="sick"))
    await until(lambda: bench.deliveries.held == 1)
    for _ in range(300):
        await fail_again(bench)
    bench.inbox.error = Waiting("the project is being deleted", after=8 * SECOND)
    for _ in range(70):
        await fail_again(bench)
    assert (taken.acks, bench.deliveries.waiting()) == (0, 1)
    for _ in range(10):
        await fail_again(bench, 1 - taken.acks)
    assert (taken.acks, len(bench.grave.buried)) == (1, 1)


async def test_what_is_written_while_another_one_is_tried_shows_that_it_fails_alone(bench: Bench) -> None:
    gate = bench.inbox.gates["e-1"] = asyncio.Event()
    bench.inbox.errors["e-1"] = AWAY
    bench.take(reconcile("deploy", "e-1", project="sick"))
    await until(lambda: bench.inbox.began == ["e-1"])
    other = bench.take(reconcile("deploy", "e-2", project="well"))
    await until(lambda: other.acks == 1)
    gate.set()
    await until(lambda: bench.deliveries.waiting() == 1)
    assert bench.deliveries.held == 0


async def test_one_that_failed_alone_and_is_written_is_as_any_other(bench: Bench) -> None:
    alone = await one_that_fails_alone(bench)
    del bench.inbox.errors["e-1"]
    await fail_again(bench)
    await until(lambda: alone.acks == 1)
    bench.inbox.error = AWAY
    bench.take(reconcile("deploy", "e-3", project="sick"))
    await until(lambda: bench.deliveries.held == 1)


async def test_while_the_api_server_is_away_the_time_of_one_that_failed_alone_stands_still(bench: Bench) -> None:
    alone = await one_that_fails_alone(bench)
    bench.inbox.error = AWAY
    held = bench.take(reconcile("deploy", "e-3", project="well"))
    await until(lambda: bench.deliveries.held == 1)
    for _ in range(200):
        await fail_again(bench, 2)
    bench.inbox.error = None
    await fail_again(bench, 2)
    await until(lambda: held.acks == 1)
    await fail_again(bench)
    assert (alone.acks, bench.grave.buried) == (0, [])


async def test_while_messages_are_held_one_of_another_project_is_tried_now_and_then(bench: Bench) -> None:
    bench.inbox.errors["e-1"] = AWAY
    bench.take(reconcile("deploy", "e-1", project="sick"))
    await until(lambda: bench.deliveries.held == 1)
    assert bench.deliveries.stops
    for _ in range(2):
        await fail_again(bench)
    assert not bench.deliveries.stops
    bench.take(reconcile("deploy", "e-2", project="sick"))
    await turns()
    # One behind it proves nothing: the next one may.
    assert not bench.deliveries.stops
    other = bench.take(reconcile("deploy", "e-3", project="well"))
    assert bench.deliveries.stops
    await until(lambda: other.acks == 1)
    assert (bench.deliveries.held, bench.deliveries.stops) == (0, False)


async def test_a_try_that_fails_as_well_is_held_too_and_the_next_one_comes_later(bench: Bench) -> None:
    bench.inbox.error = AWAY
    taken = [bench.take(reconcile("deploy", "e-0", project="p-0"))]
    for _ in range(100):
        await fail_again(bench, len(taken))
        if not bench.deliveries.stops:
            number = len(taken)
            taken.append(bench.take(reconcile("deploy", f"e-{number}", project=f"p-{number}")))
            assert bench.deliveries.stops
            await until(lambda: bench.deliveries.held == len(taken))
    assert 10 < len(taken) < 40  # in 800 seconds
    assert [delivery.acks for delivery in taken] == [0] * len(taken)
    assert bench.grave.buried == []
    bench.inbox.error = None
    bench.clock.advance(8 * SECOND)
    for delivery in taken:
        await until(lambda it=delivery: it.acks == 1)


async def test_a_dead_letter_that_does_not_get_through_is_held_whatever_is_written_and_stops_nobody(
    bench: Bench,
) -> None:
    bench.grave.error = ExternalServiceError("RabbitMQ: no answer", service="rabbitmq")
    doomed = [bench.take(b"no json")]
    bench.inbox.errors["e-1"] = ValidationError("422", status=422)
    doomed.append(bench.take(reconcile("deploy")))
    await until(lambda: bench.deliveries.held == 2)
    behind = bench.take(reconcile("cancel", "e-3"))
    assert bench.deliveries.stuck() == 3
    for number in range(100):
        other = bench.take(reconcile("deploy", f"w-{number}", project="well"))
        await until(lambda other=other: other.acks == 1)
        await fail_again(bench, 2)
        assert (bench.deliveries.held, bench.deliveries.waiting(), bench.deliveries.stops) == (2, 0, False)
    assert (bench.grave.buried, behind.acks) == ([], 0)
    bench.grave.error = None
    await fail_again(bench, 2)
    await until(lambda: bench.deliveries.held == bench.deliveries.stuck() == 0 and behind.acks == 1)
    assert [each.acks for each in doomed] == [1, 1]
    assert len(bench.grave.buried) == 2


async def test_a_write_that_is_held_beside_a_dead_letter_stops_consuming_until_its_probe_is_due(bench: Bench) -> None:
    bench.grave.error = ExternalServiceError("RabbitMQ: no answer", service="rabbitmq")
    bench.take(b"no json")
    await until(lambda: bench.deliveries.held == 1)
    for _ in range(4):
        await fail_again(bench)
    bench.inbox.errors["e-1"] = AWAY
    bench.take(reconcile("deploy", project="sick"))
    await until(lambda: bench.deliveries.held == 2)
    assert (bench.deliveries.stops, bench.deliveries.holds_writes) == (True, True)
    for _ in range(2):
        await fail_again(bench, 2)
    assert not bench.deliveries.stops
    other = bench.take(reconcile("deploy", "e-2", project="well"))
    await until(lambda: other.acks == 1 and bench.deliveries.waiting() == 1)
    assert (bench.deliveries.held, bench.deliveries.stops) == (1, False)
