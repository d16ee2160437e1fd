"""A preview's expiry is announced a day and an hour ahead: once each, and of several that were missed only one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from devops_reconciler.kinds.warning import next_warning, warning_text
from devops_reconciler.services.kubernetes import DEPLOYMENT_RECORD
from tests.unit.world import TEAM

from .life import Life

HOUR = timedelta(hours=1)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours_left", "warning_in"), [(48, 24), (24.5, 0.5), (24, 23), (2, 1), (1, None), (0.5, None), (0, None)]
)
def test_the_next_warning_lies_ahead(hours_left: float, warning_in: float | None) -> None:
    expected = None if warning_in is None else NOON + HOUR * warning_in
    assert next_warning(NOON + HOUR * hours_left, NOON) == expected


def test_what_does_not_expire_is_not_announced() -> None:
    assert next_warning(None, NOON) is None


@pytest.mark.parametrize(
    ("left", "said"),
    [(24 * HOUR, "24 h,"), (HOUR * 1.5, "1 h 30 min,"), (HOUR / 3, "20 min,"), (timedelta(seconds=5), "1 min,")],
)
def test_it_says_how_long_is_left_and_what_to_do(left: timedelta, said: str) -> None:
    text = warning_text(NOON + left, NOON)
    assert f"in {said}" in text
    assert "extend" in text


async def preview(**spec: str) -> Life:
    life = Life()
    life.project()
    life.set_up()
    life.record("one", environment="pr-7", **spec)
    await life.live("one")
    return life


def warnings(life: Life) -> list[str]:
    return [p["message"] for p in life.told("one") if p["reason"] == "ExpiresSoon"]


async def goes_on(life: Life, span: timedelta) -> None:
    """Passes as they are asked for, until `span` is over."""
    end = life.out.clock.now() + span
    while True:
        verdict = await life.turn("one")
        if verdict.after is None or life.out.clock.now() + verdict.after > end:
            break
        life.out.clock.advance(verdict.after)
    life.out.clock.advance(end - life.out.clock.now())


async def test_a_preview_of_three_days_is_announced_twice() -> None:
    life = await preview(ttl="72h")
    await goes_on(life, 47 * HOUR)
    assert warnings(life) == []
    assert life.condition("one", "Expiring") is None
    await goes_on(life, 2 * HOUR)
    assert [text.split(",")[0] for text in warnings(life)] == ["expires in 24 h"]
    assert life.reason("one", "Expiring") == "True/ExpiresSoon"
    await goes_on(life, 22.9 * HOUR)
    assert [text.split(",")[0] for text in warnings(life)] == ["expires in 24 h", "expires in 1 h"]
    assert life.reason("one") == "True/Succeeded"


async def test_the_warnings_continue_the_sequence_and_are_not_terminal() -> None:
    life = await preview(ttl="72h")
    before = life.told("one")
    await goes_on(life, 71.5 * HOUR)
    news = life.told("one")[len(before) :]
    assert [(p["step"], p["state"], p["terminal"], p["result"]) for p in news] == [
        ("expiry", "Pending", False, None)
    ] * 2
    assert [p["sequence"] for p in life.told("one")] == list(range(1, len(before) + 3))


async def test_each_warning_is_a_transition_hence_an_event() -> None:
    life = await preview(ttl="72h")
    mark = len(life.verdicts)
    await goes_on(life, 71.5 * HOUR)
    found = [item for verdict in life.verdicts[mark:] for item in verdict.transitions]
    assert [(item.type, item.status) for item in found] == [("Expiring", "True")] * 2


async def test_a_preview_that_lives_for_two_hours_is_announced_once() -> None:
    life = await preview(ttl="2h")
    await goes_on(life, 1.9 * HOUR)
    assert [text.split(",")[0] for text in warnings(life)] == ["expires in 1 h"]


async def test_after_downtime_only_the_nearest_is_given() -> None:
    life = await preview(ttl="72h")
    life.out.clock.advance(71.75 * HOUR)
    await goes_on(life, HOUR / 10)
    assert len(warnings(life)) == 1
    assert warnings(life)[0].startswith("expires in 15 min")


async def test_after_longer_downtime_it_expires_without_a_warning() -> None:
    life = await preview(ttl="72h")
    await life.expire("one")
    assert warnings(life) == []
    assert life.condition("one", "Expiring") is None


async def test_an_extended_preview_is_announced_anew() -> None:
    life = await preview(ttl="2h")
    await goes_on(life, 1.5 * HOUR)
    moment = (life.out.clock.now() + 10 * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"expiresAt": moment}})
    await life.turn("one")
    assert life.condition("one", "Expiring") is None
    await goes_on(life, 9.5 * HOUR)
    assert len(warnings(life)) == 2


async def test_another_change_of_the_spec_repeats_no_warning() -> None:
    life = await preview(ttl="2h")
    await goes_on(life, 1.5 * HOUR)
    life.out.kubernetes.change(DEPLOYMENT_RECORD, TEAM, "one", {"spec": {"requestedBy": "somebody else"}})
    await goes_on(life, HOUR / 10)
    assert len(warnings(life)) == 1


async def test_a_record_that_no_longer_holds_the_environment_announces_nothing() -> None:
    life = await preview(ttl="2h")
    life.record("two", environment="pr-7", ttl="900h")
    await life.live("two")
    await goes_on(life, 1.9 * HOUR)
    assert warnings(life) == []


async def test_a_burst_of_expiries_begins_at_the_rate_that_is_set() -> None:
    life = Life(expiry_rate=6)
    life.project(previews={"max": 5})
    life.set_up()
    names = [f"pr-{number}" for number in range(1, 6)]
    for name in names:
        life.record(name, environment=name, ttl="1h")
        await life.live(name)
    life.out.clock.advance(2 * HOUR)
    began = []
    for _ in range(60):
        for name in names:
            if life.reason(name, "CleanupVerified") != "True/CleanupVerified":
                await life.turn(name)
        began.append(sum(life.reason(name, "Expired") == "True/Expired" for name in names))
        life.out.clock.advance(timedelta(seconds=1))
    assert began[0] == 1
    assert began[9] == 1
    assert began[-1] == 5
    assert max(after - before for before, after in pairwise(began)) == 1
